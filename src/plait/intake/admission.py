"""Who may come in, whatever the words: what is held to both protocols, and what was found to be in order before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from plait.errors import Rejected
from plait.events import Signal, checked_identifier, is_weak
from plait.identity import needs_opt_in
from plait.intake import Door
from plait.intake.checks import under, wrong
from plait.intake.clean import ADDRESSES, Cleaner
from plait.intake.scan import Scanner
from plait.intake.told import Consent, grants
from plait.settings import Settings

_SOONER = ("consent", "externalIds")  # words that call for a closer look, though they may rest
_MEMO = (
    32 << 20
)  # characters of names and people remembered as fine; senders choose both, so it must have an end
_EACH = 300  # that one takes besides its own


class Nothing(msgspec.Struct, gc=False, frozen=True):
    """An object whose content nobody reads at a glance: it is checked to be one, and skipped."""


class Memo:
    """Names and people that were looked at, and whether they were fine.

    Attributes:
        names: (type, event, trusted) of a call -> whether any sender of that trust may use it.
        people: (userId, anonymousId) of a call -> their identifiers, ``None`` where they need a closer look.
        whos: ``who`` of an event of our own -> itself, or ``None``.
    """

    def __init__(self) -> None:
        self.names: dict[tuple[Any, str | None, bool], bool] = {}
        self.people: dict[tuple[str | None, str | None], tuple[str, ...] | None] = {}
        self.whos: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self._characters = 0  # about

    def make_room(self, characters: int) -> None:
        """Begin to remember anew when there is much: senders choose what, and how long it is."""
        self._characters += characters + _EACH
        if self._characters > _MEMO:
            self.clear()
            self._characters = characters + _EACH

    def clear(self) -> None:
        """Let go of everything."""
        self._characters = 0
        self.names.clear()
        self.people.clear()
        self.whos.clear()


class Admission:
    """Holds whatever comes in to the settings, and to what people allow. Has no state but a memo."""

    def __init__(self, settings: Settings, door: Door) -> None:
        self.cleaner = Cleaner(settings)
        self.scanner = Scanner([*settings.scrub, *ADDRESSES, *_SOONER])
        self.memo = Memo()
        self._settings = settings
        self._door = door
        self._forgotten = door.forgotten
        self._blocked = frozenset(settings.identity.blocked)

    def lets_in(self, found: set[tuple[str, ...]]) -> bool:
        """Whether all of these may be collected."""
        door = self._door
        if door.forgotten != self._forgotten:  # who was erased is not to be remembered as fine
            self._forgotten = door.forgotten
            self.memo.clear()
        if self._settings.consent.collect and door.silent([name for known in found for name in known]):
            return True
        return not any(door.refuses(known, self._settings.source) or door.erased(known, 0) for known in found)

    def may_be(self, named: Sequence[str]) -> bool:
        """Whether these are identifiers, and not all of them stand for nobody."""
        try:
            for one in named:
                checked_identifier(one, field="")
        except Rejected:
            return False
        return not self._blocked.issuperset(named)

    def not_blocked(self, who: Sequence[str], field: str) -> None:
        """Refuse what stands for nobody."""
        if self._blocked.issuperset(who):
            wrong(
                field, f"{who[0]} stands for nobody (settings: identity.blocked)", code="blocked_identifier"
            )

    def admitted(
        self,
        clean: dict[str, Any],
        said: Consent | None,
        who: tuple[str, ...],
        at: int,
        path: str,
        *,
        trusted: bool,
        bare: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
        source: str | None = None,
    ) -> dict[str, Any]:
        """What of a clean event may come in, given what those it names allow.

        Who says no to being collected leaves that word and nothing else; so does who says yes to something
        else while the no still stands.
        """
        if said and not trusted and grants(said) and not any(map(is_weak, who)):
            raise Rejected(
                "the write key may give consent for an anonymous id only",
                code="forbidden", field=under(path, "consent"), status=403,
            )  # fmt: skip
        if self._door.erased(who, at):
            raise Rejected(
                f"{who[0]} was erased after this happened", code="erased", field=path or None, status=403
            )
        if ties_without_a_word(who) and not (
            clean.get("signal") in _MAY_NAME_BOTH
            and (clean["signal"] != Signal.LINK or (said or {}).get("link") is True)
        ):
            raise Rejected(
                f"{who[-1]} may not be named together with {who[0]} without that person's express yes: ask them, and send a link "
                'with consent {"link": true}',
                code="opt_in_needed", field=under(path, "who"), status=403,
            )  # fmt: skip
        source = source or self._settings.source
        collect = (said or {}).get("collect")
        if isinstance(collect, dict):
            collect = collect.get(source)
        if collect is True:  # the write key's yes is a device's
            refuses = not trusted and self._door.denies(who, source)
        else:
            refuses = collect is False or self._door.refuses(who, source)
        if refuses:
            if not said:
                raise Rejected(
                    f"{who[0]} does not allow to be collected",
                    code="no_consent",
                    field=path or None,
                    status=403,
                )
            return bare(clean, said)
        return clean


# Signals that tie nothing that was not tied, where a network asks for an express yes; a link brings it along.
_MAY_NAME_BOTH = frozenset({Signal.LINK, Signal.UNLINK, Signal.ERASE})


def ties_without_a_word(who: Sequence[str]) -> bool:
    """Whether naming these together ties an account to somebody whose network forbids that without an express yes."""
    return len(who) > 1 and any(needs_opt_in(who[0], other) for other in who[1:])

"""Conditions in SQL's words: on items ``price < 200 and 'tents' in topics``, on people ``follows('bluesky') and not bought()``.

sqlglot parses; a short list of what it may have found becomes a ``Condition``, and anything else is refused with the
place in the text. Nothing is ever executed. One condition answers for all items at once (``mask``) and for one
(``test``), with SQL's three-valued logic: a comparison with a value that is missing is neither true nor false.
What may be spoken of is a ``Language``: that of items is here, that of people in ``facts.py``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import sqlglot
from sqlglot import Token, TokenType
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from plait.catalog.conditions import (
    All,
    Always,
    Compare,
    CompareFields,
    Condition,
    Flag,
    Has,
    Like,
    Node,
    Not,
    Null,
    Sure,
)  # fmt: skip
from plait.errors import Rejected

Kind = Literal["text", "number", "flag", "list", "time", "any"]

# What every item has; anything else is an attribute.
FIELDS: dict[str, Kind] = {
    "id": "text",
    "kind": "text",
    "title": "text",
    "topics": "list",
    "price": "number",
    "available": "flag",
    "url": "text",
    "image": "text",
    "sections": "list",
    "published": "time",
    "for": "list",
    "starts": "time",
    "ends": "time",
    "cap": "number",
    "audience": "text",
}
ATTRIBUTE = "attributes."
ARGUMENT = "\x1f"  # between a function and its arguments, in the name under which a row is asked

MAX_CHARS = 4_000
MAX_TOKENS = 500
MAX_DEPTH = 32  # parentheses, and nots in a row: the parser recurses

_SIGNS: dict[type[sql.Expression], str] = {
    sql.EQ: "=", sql.NEQ: "<>", sql.LT: "<", sql.LTE: "<=", sql.GT: ">", sql.GTE: ">=",
}  # fmt: skip
_MARKS = {
    "this",
    "expression",
    "expressions",
    "field",
    "low",
    "high",
    "negate",
    "query",
    "table",
    "db",
    "catalog",
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WANTED = {"number": "a number", "text": "text in 'single quotes'", "time": "a date like '2026-05-01'"}
_SAYS = {"number": "a number", "text": "text", "time": "a date", "flag": "true or false", "list": "a list"}


class Function(NamedTuple):
    """What is asked with arguments, as a field of its own: ``count('view')``.

    Attributes:
        kind: of its value.
        check: takes the arguments, which are texts, and says what is wrong with them: their number (from 0) and a sentence.
    """

    kind: Kind
    check: Callable[[Sequence[str]], tuple[int, str] | None]


class Language(NamedTuple):
    """What a condition may speak of.

    Attributes:
        fields: name -> kind.
        free: what free names begin with, the point included.
        unknown: begins the sentence about a name that there is not.
        functions: by name.
    """

    fields: Mapping[str, Kind]
    free: str
    unknown: str
    functions: Mapping[str, Function] = {}


ITEMS = Language(FIELDS, ATTRIBUTE, "no item has a field or attribute")


def compile(text: str, attributes: Collection[str] | None = None, *, field: str = "where") -> Condition:
    """Compile an expression; the same text is compiled once.

    Args:
        text: at most 4,000 characters, 500 words and signs, 32 parentheses deep.
        attributes: names that items have; others are refused unless written ``attributes.name``. ``None`` takes any.
        field: path of the text in the caller's request, for the error.

    Raises:
        Rejected: ``invalid_expression``; the message shows the place with a caret.
    """
    known = None if attributes is None else frozenset(attributes)
    return _told_of(field, lambda: _of_items(text, known))


def compiled(text: str, language: Language, *, field: str = "where") -> Condition:
    """Compile an expression in another language, in which free names never stand bare.

    Raises:
        Rejected: as ``compile`` does.
    """
    return _told_of(field, lambda: _compiled(text, language, frozenset()))


def _told_of(field: str, work: Callable[[], Condition]) -> Condition:
    try:
        return work()
    except Rejected as exc:
        raise Rejected(exc.message, code=exc.code, field=field) from exc.__cause__


@lru_cache(2_048)
def _of_items(text: str, attributes: frozenset[str] | None) -> Condition:
    return _compiled(text, ITEMS, attributes)


def _compiled(text: str, language: Language, bare: frozenset[str] | None) -> Condition:
    names: set[str] = set()
    root = _Compiler(text, language, bare, names).compile()
    return Condition(text, frozenset(names), root)


# --- from the parser's tree to ours ------------------------------------------------------------------------------------


class _Compiler:
    def __init__(self, text: str, language: Language, bare: frozenset[str] | None, names: set[str]) -> None:
        self._text = text
        self._language = language
        self._bare_names = bare  # free names that need no beginning; None: any
        self._names = names

    def compile(self) -> Node:
        tree = self._parsed()
        try:
            return self._node(tree)
        except RecursionError:
            raise self._refused("it is nested too deeply", 0) from None

    def _parsed(self) -> Any:
        if len(self._text) > MAX_CHARS:
            raise self._refused(f"it is longer than {MAX_CHARS} characters", MAX_CHARS)
        if not self._text.strip():
            raise self._refused("it is empty", 0)
        try:
            tokens = sqlglot.tokenize(self._text)
            self._check_size(tokens)
            trees = sqlglot.parse(self._text)
        except SqlglotError as exc:
            raise self._refused(*self._from_parser(exc)) from exc
        except RecursionError:
            raise self._refused("it is nested too deeply", 0) from None
        if len(trees) != 1 or trees[0] is None:
            raise self._refused("it must be one condition, without ;", max(0, self._text.find(";")))
        return trees[0]

    def _check_size(self, tokens: list[Token]) -> None:
        if len(tokens) > MAX_TOKENS:
            raise self._refused(f"it has more than {MAX_TOKENS} words and signs", tokens[MAX_TOKENS].start)
        depth = nots = 0
        for token in tokens:
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
            nots = nots + 1 if token.token_type in (TokenType.NOT, TokenType.DASH) else 0
            if depth > MAX_DEPTH or nots > MAX_DEPTH:
                raise self._refused("it is nested too deeply", token.start)

    def _from_parser(self, exc: SqlglotError) -> tuple[str, int]:
        errors = getattr(exc, "errors", None)
        if not errors:
            return "it is not an expression", 0
        found = errors[0]
        lines = self._text.splitlines(keepends=True)
        place = sum(map(len, lines[: found["line"] - 1])) + found["col"] - len(found["highlight"])
        missing = "Required keyword" in found["description"]
        shown = found["highlight"] or "the end"
        return (f"something is missing after {shown}" if missing else f"cannot read it at {shown}"), place

    def _refused(self, why: str, place: int) -> Rejected:
        return Rejected(f"{why}\n{caret(self._text, place)}", code="invalid_expression", field="where")

    def _refused_at(self, node: sql.Expression, why: str) -> Rejected:
        places = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        return self._refused(why, min(places, default=0))

    def _node(self, tree: Any) -> Node:
        if isinstance(tree, sql.Alias):  # how SQL reads a word where and, or, or the end should stand
            word = tree.args["alias"]
            raise self._refused_at(word, f"and, or, or nothing should stand before {word.name[:40]}")
        # The parser keeps some words as marks on a node: "not like" is Like with negate. One that we do not know of
        # would change the meaning without a trace.
        marks = (
            {} if isinstance(tree, sql.Func) and self._is_field(tree) else tree.args
        )  # ``_function`` looks itself
        for mark, value in marks.items():
            if value and mark not in _MARKS:
                raise self._refused_at(tree, f"{mark.replace('_', ' ')} is not part of the language")
        node = self._plain(tree)
        return Not(node) if tree.args.get("negate") else node

    def _plain(self, tree: Any) -> Node:
        match tree:
            case sql.Paren():
                return self._node(tree.this)
            case sql.And():
                return All(tuple(self._node(part) for part in tree.flatten()))
            case sql.Or():
                return Not(All(tuple(Not(self._node(part)) for part in tree.flatten())))
            case sql.Not():
                return Not(self._node(tree.this))
            case sql.Boolean():
                return Always(bool(tree.this))
            case sql.Null():
                return Always(None)
            case _ if self._is_field(tree):
                return self._bare(tree)
            case sql.Between():
                low = self._comparison(tree, ">=", tree.this, tree.args["low"])
                return All((low, self._comparison(tree, "<=", tree.this, tree.args["high"])))
            case sql.In():
                return self._in(tree)
            case sql.Is():
                return self._is(tree)
            case sql.Like() | sql.ILike():
                return self._like(tree)
            case _ if type(tree) in _SIGNS:
                return self._comparison(tree, _SIGNS[type(tree)], tree.this, tree.expression)
        raise self._refused_at(tree, f"{_called(tree)} is not part of the language")

    def _bare(self, tree: sql.Expression) -> Node:
        name, kind = self._field(tree)
        if kind not in ("flag", "any"):
            raise self._refused_at(tree, f"{_named(tree)} is {_SAYS[kind]}; compare it with something")
        return Flag(name)

    def _comparison(self, tree: sql.Expression, sign: str, left: Any, right: Any) -> Node:
        left, right = _bared(left), _bared(right)
        if not self._is_field(left):
            left, right, sign = right, left, _MIRRORED[sign]
        for side in (left, right):
            if not (self._is_field(side) or isinstance(side, (sql.Literal, sql.Neg, sql.Null, sql.Boolean))):
                raise self._refused_at(side, f"{_called(side)} is not part of the language")
        if not self._is_field(left):
            raise self._refused_at(tree, "one side of a comparison must be a field")
        name, kind = self._field(left)
        if kind == "list":
            raise self._refused_at(left, f"{_named(left)} is a list; ask it as 'this' in {_named(left)}")
        if kind == "flag" and not isinstance(right, (sql.Boolean, sql.Null)):
            raise self._refused_at(
                left, f"{_named(left)} is true or false; write {_named(left)}, or not {_named(left)}"
            )
        if self._is_field(right):
            return self._between_fields(tree, (name, kind), sign, self._field(right))
        if isinstance(right, sql.Null):
            raise self._refused_at(
                left, f"compare with null as: {_named(left)} is null, or: {_named(left)} is not null"
            )
        if isinstance(right, sql.Boolean):
            if kind not in ("flag", "any") or sign not in ("=", "<>"):
                raise self._refused_at(left, f"{_named(left)} is {_SAYS.get(kind, 'not true or false')}")
            return Flag(name) if right.this == (sign == "=") else Not(Flag(name))
        return Compare(name, sign, self._literal(right, kind, left))

    def _between_fields(
        self, tree: sql.Expression, left: tuple[str, Kind], sign: str, right: tuple[str, Kind]
    ) -> Node:
        for _, kind in (left, right):
            if kind not in ("number", "time", "any"):
                raise self._refused_at(
                    tree,
                    "two fields compare as numbers only; text stands in 'single quotes', not in double ones",
                )
        return CompareFields(left[0], sign, right[0])

    def _in(self, tree: sql.In) -> Node:
        values, asked = tree.expressions, tree.args.get("field")
        if len(values) == 1 and self._is_field(_bared(values[0])):
            values, asked = [], _bared(values[0])
        if asked is not None:
            if not self._is_field(asked) or self._is_field(_bared(tree.this)):
                quotes = ", in single quotes" if '"' in self._text else ""
                raise self._refused_at(tree, f"in asks a list for a value{quotes}: 'tents' in topics")
            name, kind = self._field(asked)
            if kind not in ("list", "any"):
                raise self._refused_at(asked, f"{_named(asked)} is {_SAYS[kind]}, not a list")
            return Has(name, self._literal(_bared(tree.this), "text" if kind == "list" else "any", asked))
        if not values or tree.args.get("query") or not self._is_field(_bared(tree.this)):
            raise self._refused_at(
                tree, "in wants values: kind in ('product', 'article'), or a list: 'tents' in topics"
            )
        same = [self._comparison(tree, "=", tree.this, value) for value in values]
        return Not(All(tuple(Not(one) for one in same)))

    def _is(self, tree: sql.Is) -> Node:
        asked = _bared(tree.this)
        if not self._is_field(asked):
            raise self._refused_at(tree, "is asks a field: price is null")
        name, kind = self._field(asked)
        if isinstance(tree.expression, sql.Null):
            return Null(name)
        if isinstance(tree.expression, sql.Boolean) and kind in ("flag", "any"):
            # IS knows no "not known": what is missing is neither.
            flag = Flag(name) if tree.expression.this else Not(Flag(name))
            return Sure(flag)
        raise self._refused_at(tree, "is takes null, true or false")

    def _like(self, tree: sql.Like | sql.ILike) -> Node:
        asked, pattern = _bared(tree.this), _bared(tree.expression)
        if not self._is_field(asked) or not isinstance(pattern, sql.Literal) or not pattern.is_string:
            raise self._refused_at(tree, "like compares a field with text: title like '%tent%'")
        name, kind = self._field(asked)
        if kind not in ("text", "any"):
            raise self._refused_at(asked, f"{_named(asked)} is {_SAYS[kind]}, not text")
        return Like(name, pattern.this, isinstance(tree, sql.ILike))

    def _is_field(self, tree: Any) -> bool:
        """Whether it has a value of its own: a column, or a function where the language has any."""
        if not self._language.functions:
            return isinstance(tree, sql.Column)
        # To the parser "and" is a function, too.
        return isinstance(tree, (sql.Column, sql.Anonymous, sql.Func)) and not isinstance(
            tree, (sql.Connector, sql.Predicate)
        )

    def _field(self, tree: sql.Expression) -> tuple[str, Kind]:
        if not isinstance(tree, sql.Column):
            return self._function(tree)
        language, parts = self._language, [part.name for part in tree.parts]
        if len(parts) == 1 and parts[0] in language.fields:
            self._names.add(parts[0])
            return parts[0], language.fields[parts[0]]
        if len(parts) == 1 and (self._bare_names is None or parts[0] in self._bare_names):
            self._names.add(language.free + parts[0])
            return language.free + parts[0], "any"
        if len(parts) > 1 and f"{parts[0]}." == language.free:
            name = language.free + ".".join(parts[1:])
            self._names.add(name)
            return name, "any"
        raise self._refused_at(tree, self._unknown_name(".".join(parts)))

    def _function(self, tree: sql.Expression) -> tuple[str, Kind]:
        called = _called(tree)
        function = self._language.functions.get(called)
        place = self._place_of(tree, called)
        if function is None:
            near = difflib.get_close_matches(called, self._language.functions, 1)
            known = (
                f"; did you mean {near[0]}?" if near else f"; there are {', '.join(self._language.functions)}"
            )
            raise self._refused(f"there is no function {called}{known}", place)
        # What else the parser knows of a function (distinct, ignore nulls) would change its meaning without a trace.
        given = [tree.this] if not isinstance(tree, sql.Anonymous) and tree.this is not None else []
        given += tree.expressions
        odd = {mark for mark, value in tree.args.items() if value} - {"this", "expressions", "big_int"}
        if odd or not all(isinstance(one, sql.Literal) and one.is_string for one in given):
            raise self._refused(f"{called} takes texts in 'single quotes'", place)
        arguments = [str(one.this) for one in given]
        wrong = function.check(arguments)
        if wrong is not None:
            number, why = wrong
            raise self._refused_at(given[number], why) if number < len(given) else self._refused(why, place)
        name = ARGUMENT.join((called, *arguments))
        self._names.add(name)
        return name, function.kind

    def _place_of(self, tree: sql.Expression, called: str) -> int:
        """Where a function stands: the parser notes that of some only, and of others where their arguments are."""
        if "start" in tree.meta:
            return int(tree.meta["start"])
        ends = min(
            (part.meta["start"] for part in tree.walk() if "start" in part.meta), default=len(self._text)
        )
        return max(0, self._text.lower().rfind(called, 0, ends))

    def _unknown_name(self, name: str) -> str:
        known = [*self._language.fields, *(self._bare_names or ()), *self._language.functions]
        near = difflib.get_close_matches(name, known, 1)
        said = f"{self._language.unknown} {name}"
        if f'"{name}"' in self._text:
            return f"{said}; if it is text, write '{name}' in single quotes"
        return said + (f"; did you mean {near[0]}?" if near else "")

    def _literal(self, tree: Any, kind: Kind, beside: sql.Expression) -> float | str:
        sign = 1.0
        while isinstance(tree, (sql.Neg, sql.Paren)):
            sign, tree = (-sign if isinstance(tree, sql.Neg) else sign), tree.this
        if not isinstance(tree, sql.Literal):
            raise self._refused_at(
                tree, f"{_named(beside)} can be compared with text, a number or another field only"
            )
        if tree.is_string:
            if kind == "time":
                return self._time(tree)
            if kind in ("text", "any", "list"):
                return str(tree.this)
        elif kind in ("number", "any", "time"):
            try:
                value = sign * float(tree.this)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise self._refused_at(tree, f"{tree.this} is not a number we can hold")
            return value
        raise self._refused_at(
            tree, f"{_named(beside)} is {_SAYS[kind]}; compare it with {_WANTED.get(kind, 'that')}"
        )

    def _time(self, tree: sql.Literal) -> float:
        try:
            return float(milliseconds(tree.this))
        except ValueError:
            raise self._refused_at(
                tree, f"'{tree.this}' is not a date like '2026-05-01' or '2026-05-01T09:00:00Z'"
            ) from None


def milliseconds(text: str) -> int:
    """ISO 8601 to ms since the epoch; without a zone it is UTC.

    Raises:
        ValueError: not a date, or none that a datetime can hold.
    """
    when = datetime.fromisoformat(text.strip())
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return round(when.timestamp() * 1000)


def caret(text: str, place: int) -> str:
    """The line of ``text`` that holds ``place``, and a caret under it."""
    place = max(0, min(place, len(text)))
    begin = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    line = text[begin : end if end >= 0 else len(text)]
    from_ = max(0, place - begin - 60)
    shown = line[from_ : from_ + 100].expandtabs(1)
    return f"  {shown}\n  {' ' * (place - begin - from_)}^"


def _bared(tree: Any) -> Any:
    while isinstance(tree, sql.Paren):
        tree = tree.this
    return tree


def _called(tree: Any) -> str:
    return str(tree.name if isinstance(tree, sql.Anonymous) else type(tree).__name__).lower()


def _named(tree: sql.Expression) -> str:
    """A field as it is spoken of; of a function without its arguments."""
    return str(tree.name) if isinstance(tree, sql.Column) else f"{_called(tree)}(…)"

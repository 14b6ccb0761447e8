"""The catalog over HTTP: items and placements, in bulk and one by one; all for the secret key. Audiences are in ``audiences.py``."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from plait.catalog.checks import MAX_ITEMS, checked_id, checked_item, checked_placement, checked_ties
from plait.catalog.items import POST, Item, Placement
from plait.errors import Rejected
from plait.events import Record
from plait.http.plain import answer, body, installation
from plait.profiles.totals import totals

T = TypeVar("T", Item, Placement)
Named = TypeVar("Named", Item, Placement)
Endpoint = Callable[[Request], Awaitable[Response]]
Kind = Literal["items", "placements", "audiences"]

# Items in one record: taking in that many holds the event loop for some 2 ms, and page decisions wait no longer.
SLICE = 100
MOST_LISTED = 1_000


async def put_items(request: Request) -> Response:
    """Put many items; what is wrong is told by index, and the rest is taken. ``delete`` names items to take out."""
    told = await body(request, of_many=True)
    check_names(told, ("items", "delete"))
    given, gone = _list(told, "items"), _list(told, "delete")
    items, refused = await _checked(
        given, "items", lambda raw, field: _aimed(request, checked_item(raw, field=field), field)
    )
    ids = [checked_id(one, field=f"delete[{i}]") for i, one in enumerate(gone)]
    if refused and not items and not ids:
        raise Rejected(refused[0]["message"], code=refused[0]["code"], field=refused[0]["field"])
    for start in range(0, len(items), SLICE):
        await append(request, "items", put=items[start : start + SLICE])
    known = [one for one in dict.fromkeys(ids) if one in installation(request).catalog]
    if known:
        await append(request, "items", delete=known)
    return answer({"accepted": len(items), "deleted": len(known), "refused": refused})


async def list_items(request: Request) -> Response:
    """Items in an order that is stable as long as the server runs; ``after`` is the last id of the page before.

    ``version`` changes whenever an item does.
    """
    catalog = installation(request).catalog
    after = request.query_params.get("after")
    limit = _limit(request)
    if after is not None and after not in catalog.rows:
        raise Rejected(f"after names no item: {after[:80]!r}", code="invalid_query", field="after")
    found = catalog.page(after, limit)
    more = found[-1].id if len(found) == limit else None
    return answer({"items": found, "next": more, "total": len(catalog), "version": catalog.version})


async def get_item(request: Request) -> Response:
    """One item."""
    found = installation(request).catalog.get(request.path_params["id"])
    if found is None:
        raise unknown("item", request.path_params["id"])
    return answer(found)


async def put_item(request: Request) -> Response:
    """Put one item, whole."""
    item = _aimed(request, checked_item(await body_with_id(request), field="item"), "item")
    await append(request, "items", put=[item])
    return answer(installation(request).catalog.get(item.id))


async def delete_item(request: Request) -> Response:
    """Take one item out."""
    id = request.path_params["id"]
    if id not in installation(request).catalog:
        raise unknown("item", id)
    await append(request, "items", delete=[id])
    return answer({"deleted": 1})


async def get_post(request: Request) -> Response:
    """What a post is about, and the newest counts that networks gave of it: so many likes, and nobody's name.

    A network may count what is not in the catalog yet.
    """
    here, id = installation(request), request.path_params["id"]
    found = here.catalog.get(id)
    with closing(here.store.snapshot()) as snapshot:
        counts = totals(snapshot, "post", id)
    if (found is None and not counts) or (found is not None and found.kind != POST):
        raise unknown("post", id)
    if found is None:
        return answer({"post": id, "counts": counts})
    told = {
        "title": found.title,
        "url": found.url,
        "published": found.published,
        **_ties_of(found),
        "counts": counts,
    }
    return answer({name: value for name, value in told.items() if value is not None})


async def get_ties(request: Request) -> Response:
    """What a post is tied to after all, the surest first, and what a person said of it."""
    return answer(_ties_of(_post(request)))


async def put_ties(request: Request) -> Response:
    """Say what a post is about and what not: ``{"ties": {"item:tent-2": true, "topic:camping": false}}``.

    It replaces what was said before, holds over what is read, and outlasts every import; ``{}`` takes it back.
    """
    told = await body(request)
    check_names(told, ("ties",))
    said = checked_ties(told["ties"], field="ties")
    catalog = installation(request).catalog
    for to, holds in said.items():
        if holds and to.startswith("item:") and to.removeprefix("item:") not in catalog:
            raise Rejected(
                f"there is no item {to[5:85]!r}", code="unknown_item", field=f"ties.{to[:80]}", status=404
            )
    await append(request, "items", make=lambda: [msgspec.structs.replace(_post(request), confirmed=said)])
    return answer(_ties_of(_post(request)))


def _post(request: Request) -> Item:
    id = request.path_params["id"]
    found = installation(request).catalog.get(id)
    if found is None or found.kind != POST:
        raise unknown("post", id)
    return found


def _ties_of(post: Item) -> dict[str, Any]:
    ties = [{"to": one.to, "confidence": one.confidence, "how": one.how} for one in post.tied()]
    return {"post": post.id, "ties": ties, "confirmed": post.confirmed or {}}


async def put_placements(request: Request) -> Response:
    """Put many placements, all or none."""
    told = await body(request)
    check_names(told, ("placements",))
    given = _list(told, "placements")
    attributes = installation(request).catalog.attributes
    placements = [
        _aimed(
            request,
            checked_placement(raw, field=f"placements[{i}]", attributes=attributes),
            f"placements[{i}]",
        )
        for i, raw in enumerate(given)
    ]
    if placements:
        await append(request, "placements", put=placements)
    return answer({"accepted": len(placements)})


async def list_placements(request: Request) -> Response:
    """All placements, by id."""
    placements = installation(request).catalog.placements
    return answer({"placements": [placements[id] for id in sorted(placements)]})


async def get_placement(request: Request) -> Response:
    """One placement."""
    found = installation(request).catalog.placements.get(request.path_params["id"])
    if found is None:
        raise unknown("placement", request.path_params["id"])
    return answer(found)


async def put_placement(request: Request) -> Response:
    """Put one placement, whole."""
    attributes = installation(request).catalog.attributes
    placement = checked_placement(await body_with_id(request), field="placement", attributes=attributes)
    _aimed(request, placement, "placement")
    await append(request, "placements", put=[placement])
    return answer(placement)


async def delete_placement(request: Request) -> Response:
    """Take one placement out; a default one becomes again what it was."""
    id = request.path_params["id"]
    if id not in installation(request).catalog.placements:
        raise unknown("placement", id)
    await append(request, "placements", delete=[id])
    return answer({"deleted": 1})


def _aimed(request: Request, one: Named, field: str) -> Named:
    """``one``, if there is the audience that it is for."""
    known = installation(request).catalog.audiences
    if one.audience is not None and one.audience not in known:
        near = difflib.get_close_matches(one.audience, known, 1)
        raise Rejected(
            f"there is no audience {one.audience[:80]!r}"
            + (f"; did you mean {near[0]!r}?" if near else "; make it with PUT /v1/audiences/{id}"),
            code="unknown_audience",
            field=f"{field}.audience",
        )
    return one


async def append(
    request: Request,
    kind: Kind,
    *,
    put: Sequence[Any] = (),
    delete: Sequence[str] = (),
    make: Callable[[], Sequence[Any]] | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Make a change durable, then known; ``make`` tells what to put, ``check`` raises, when nobody else changes anything.

    One at a time: the catalog in memory must take changes in the order of the log, or the last writer would differ.
    """
    here = installation(request)
    state = request.app.state
    if not hasattr(state, "catalog_lock"):
        state.catalog_lock = asyncio.Lock()
    async with state.catalog_lock:
        check()
        record = Record(
            kind=kind,
            source=here.settings.source,
            received_at=here.now(),
            trusted=True,
            body=msgspec.json.encode({"put": make() if make is not None else put, "delete": delete}),
        )
        await here.append(record)
        here.take_in(record)


async def _checked(
    given: Sequence[Any], name: str, check: Callable[[Any, str], T]
) -> tuple[list[T], list[dict[str, Any]]]:
    good: list[T] = []
    refused: list[dict[str, Any]] = []
    for index, raw in enumerate(given):
        try:
            good.append(check(raw, f"{name}[{index}]"))
        except Rejected as exc:
            refused.append({"index": index, **exc.as_json()})
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)  # let others have the loop
    return good, refused


async def body_with_id(request: Request) -> dict[str, Any]:
    """The body of a PUT, with the id that the path says."""
    told, id = await body(request), request.path_params["id"]
    given = told.get("id")
    if given not in (id, None) and (isinstance(given, bool) or str(given) != id):  # numbers serve as ids, too
        raise Rejected(
            f"id is {str(told['id'])[:80]!r}, but the path says {id!r}", code="invalid_body", field="id"
        )
    return {**told, "id": id}


def _list(told: dict[str, Any], name: str) -> list[Any]:
    given = told.get(name, [])
    if not isinstance(given, list):
        raise Rejected(f"{name} must be a list", code="invalid_body", field=name)
    if len(given) > MAX_ITEMS:
        raise Rejected(
            f"{name} has more than {MAX_ITEMS} entries; send them in parts",
            code="too_many",
            status=413,
            field=name,
        )
    return given


def check_names(told: dict[str, Any], names: Iterable[str]) -> None:
    """Refuse a body that holds nothing, or anything else than these names."""
    for name in told:
        if name not in names:
            raise Rejected(
                f"{name[:80]} is not known here; {' and '.join(names)} are",
                code="invalid_body",
                field=name[:80],
            )
    if not told:
        raise Rejected(f"the body must hold {' or '.join(names)}", code="invalid_body")


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_LISTED):
        raise Rejected(
            f"limit must be 1 to {MOST_LISTED}, not {text[:40]!r}", code="invalid_query", field="limit"
        )
    return int(text)


def unknown(what: str, id: str) -> Rejected:
    """That there is no such thing."""
    return Rejected(f"there is no {what} {id[:80]!r}", code=f"unknown_{what}", status=404)


def route(path: str, **endpoints: Endpoint) -> Route:
    """One route for all methods of a path, so that a 405 names each of them."""
    by_method = {method.upper(): endpoint for method, endpoint in endpoints.items()}

    async def ask(request: Request) -> Response:
        return await by_method.get(request.method, by_method["GET"])(request)

    return Route(path, ask, methods=list(by_method))  # Starlette adds HEAD to GET


routes = [
    route("/v1/items", get=list_items, post=put_items),
    route("/v1/items/{id:path}", get=get_item, put=put_item, delete=delete_item),
    route("/v1/posts/{id:path}/ties", get=get_ties, put=put_ties),
    route("/v1/posts/{id:path}", get=get_post),
    route("/v1/placements", get=list_placements, post=put_placements),
    route("/v1/placements/{id}", get=get_placement, put=put_placement, delete=delete_placement),
]

"""Audiences over HTTP: conditions on people under a name, how many fulfil them, and who; all for the secret key."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from plait.catalog import Audience
from plait.catalog.checks import MAX_AUDIENCES, checked_audience
from plait.errors import Rejected
from plait.http.items import append, body_with_id, route, unknown
from plait.http.plain import answer, installation
from plait.profiles.facts import condition

MOST_NAMED = 5  # users of an audience that a refusal names


async def list_audiences(request: Request) -> Response:
    """All audiences, by id."""
    known = installation(request).catalog.audiences
    return answer({"audiences": [known[id] for id in sorted(known)]})


async def get_audience(request: Request) -> Response:
    """One audience, and what is for it."""
    one = _audience(request)
    promotions, placements = installation(request).catalog.users_of(one.id)
    told = {"id": one.id, "title": one.title, "where": one.where}
    return answer(told | {"promotions": promotions, "placements": placements})


async def put_audience(request: Request) -> Response:
    """Put one audience, whole; it holds from the next question on."""
    one = checked_audience(await body_with_id(request), field="audience")
    condition(one.where, field="audience.where")
    known = installation(request).catalog.audiences

    def check() -> None:
        if one.id not in known and len(known) >= MAX_AUDIENCES:
            raise Rejected(
                f"there are {MAX_AUDIENCES} audiences, which is the most; delete one that nothing is for",
                code="too_many",
                status=409,
            )

    await append(request, "audiences", put=[one], check=check)
    return answer(one)


async def delete_audience(request: Request) -> Response:
    """Take one audience out, unless a promotion or a placement is for it."""
    here, id = installation(request), _audience(request).id

    def check() -> None:
        promotions, placements = here.catalog.users_of(id)
        used = [f"promotion {one!r}" for one in promotions] + [f"placement {one!r}" for one in placements]
        if used:
            more = f" and {len(used) - MOST_NAMED} more" if len(used) > MOST_NAMED else ""
            raise Rejected(
                f"{', '.join(used[:MOST_NAMED])}{more} would be for nobody; aim them elsewhere first",
                code="audience_in_use",
                status=409,
            )

    await append(request, "audiences", delete=[id], check=check)
    return answer({"deleted": 1})


async def size(request: Request) -> Response:
    """How many people are in it now, of how many; a process of its own counts, so that nobody waits for it."""
    here, one = installation(request), _audience(request)
    return answer(await here.count(one.id))


async def members(request: Request) -> Response:
    """Who is in it now: a line of JSON with ``identifiers`` for each person, as they are found."""
    here, one = installation(request), _audience(request)
    lines = here.members(one.id)
    first = await anext(lines, b"")  # what goes wrong at once is told as an error

    async def all_of_them() -> AsyncIterator[bytes]:
        if first:
            yield first
        async for some in lines:
            yield some

    return StreamingResponse(all_of_them(), media_type="application/x-ndjson")


def _audience(request: Request) -> Audience:
    id = request.path_params["id"]
    found = installation(request).catalog.audiences.get(id)
    if found is None:
        raise unknown("audience", id)
    return found


routes = [
    route("/v1/audiences", get=list_audiences),
    route("/v1/audiences/{id}/size", get=size),
    route("/v1/audiences/{id}/members", get=members),
    route("/v1/audiences/{id}", get=get_audience, put=put_audience, delete=delete_audience),
]

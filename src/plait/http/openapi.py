"""This API as an OpenAPI document: written by hand, held to the truth by schemathesis (tests/peers).

What routes there are and what they answer; ``schemas.py`` says what shape it has.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from plait import __version__
from plait.catalog.items import MAX_SHOWN
from plait.events import MAX_WHO
from plait.http.schemas import ANY, TEXT, WHOLE, Schema, fields, many, ref, schemas


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(schema: Schema, *errors: int) -> dict[str, Any]:
    told: dict[str, Any] = {"200": {"description": "Done.", "content": _json(schema)}}
    for status in errors:
        told[str(status)] = {"description": _ERRORS[status], "content": _json(ref("Error"))}
    return told


_ERRORS = {
    400: "The request is wrong; `code`, `message` and `field` say how.",
    401: "No key, or nobody's.",
    403: "This key may not do that.",
    404: "There is no such thing.",
    405: "Not with this method.",
    408: "The body came too slowly.",
    409: "Something else stands against it.",
    413: "Too large.",
    422: "Understood, and not acceptable.",
    429: "Too much at once; `Retry-After` says when to come again.",
    503: "Not now; `Retry-After` says when to come again.",
}


def _operation(summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = more.pop("body", None)
    told: dict[str, Any] = {"summary": summary, "responses": answers, **more}
    if body is not None:
        told["requestBody"] = {"required": True, "content": _json(body)}
    return told


def _in_path(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, schema: Schema, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


@cache
def document() -> dict[str, Any]:
    """The document as JSON-ready dicts."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Plait",
            "version": __version__,
            "description": "What people do on your site and on your social channels, woven into one profile a person; "
            "asked what to show next, it answers in milliseconds and says why.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {
            **_collect(),
            **_questions(),
            **_catalog(),
            **_audiences(),
            **_people(),
            **_sources(),
            **_operate(),
        },
        "components": {"schemas": schemas(), "securitySchemes": _SECURITY},
    }


_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The secret key; for collect the write key too.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "The key as the user, no password."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "writeKey"},
}
_COLLECTING: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}, {"header": []}, {"query": []}]


def _collect() -> dict[str, Any]:
    names = {
        "track": ("t", "Something a person did"), "identify": ("i", "Who a person is"),
        "page": ("p", "A page was seen"), "screen": ("s", "A screen of an app was seen"),
        "group": ("g", "What a person belongs to"), "alias": ("a", "A new name for a person"),
        "batch": ("b", "Many calls at once"), "import": (None, "Past calls (secret key)"),
    }  # fmt: skip
    paths: dict[str, Any] = {}
    for name, (short, summary) in names.items():
        shape = ref("Batch" if name in ("batch", "import") else name.capitalize())
        for path in [f"/v1/{name}"] + ([f"/v1/{short}"] if short else []):
            paths[path] = {
                "post": _operation(
                    summary, _answers(ref("Accepted"), 400, 401, 403, 408, 413, 429, 503),
                    body=shape, security=_COLLECTING, tags=["collect"],
                    parameters=[_in_query("verdicts", {"type": "string", "description": "1 asks for a verdict on every event"})],
                )
            }  # fmt: skip
    paths["/v1/events"] = {
        "post": _operation(
            "Events in Plait's own vocabulary", _answers(ref("Accepted"), 400, 401, 403, 408, 413, 429, 503),
            body=ref("Events"),
            security=_COLLECTING, tags=["collect"], parameters=[_in_query("verdicts", {"type": "string", "description": "1 asks for a verdict on every event"})],
        )
    }  # fmt: skip
    return paths


def _questions() -> dict[str, Any]:
    errors = (400, 401, 403, 404, 408, 413, 429, 503)
    return {
        "/v1/personalize": {
            "post": _operation(
                "What to show on one page, for its placements together", _answers(ref("Decision"), *errors),
                body=ref("Question"), security=_COLLECTING, tags=["personalize"],
            )
        },
        "/v1/placements/{id}/items": {
            "get": _operation(
                "What to show in one placement", _answers(ref("Decision"), *errors),
                security=_COLLECTING, tags=["personalize"],
                parameters=[_in_path("id", ref("PlacementId")), *_asked_in_query()],
            )
        },
    }  # fmt: skip


def _asked_in_query() -> list[dict[str, Any]]:
    several = _in_query("identifier", many(ref("Identifier"), maxItems=MAX_WHO))
    flag = {"enum": ["1", "0", "true", "false", ""]}
    return [
        several,
        _in_query("n", {"type": "integer", "minimum": 1, "maximum": MAX_SHOWN}),
        _in_query("where", ref("Condition")),
        _in_query("exclude", {"type": "string", "description": "Ids, several by comma."}),
        _in_query("item", TEXT),
        _in_query("url", TEXT),
        _in_query("explain", flag),
        _in_query("details", flag),
        _in_query("token", {"type": "string", "description": "With the write key, for a known person."}),
    ]


def _catalog() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, schema in (("items", "Item"), ("placements", "Placement")):
        one = _in_path("id", ref("Id" if name == "items" else "PlacementId"))
        pages = [
            _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}),
            _in_query("after", {"type": "string", "description": "The last id of the page before."}),
        ]
        paths[f"/v1/{name}"] = {
            "get": _operation(
                f"All {name}, a page at a time" if name == "items" else f"All {name}", _answers(ANY, 400, 401, 403),
                tags=["catalog"], parameters=pages if name == "items" else [],
            ),
            "post": _operation(
                f"Add or replace {name}", _answers(ANY, 400, 401, 403, 408, 413, 429, 503), tags=["catalog"],
                body=ref(f"{schema}s"),
            ),
        }  # fmt: skip
        paths[f"/v1/{name}/{{id}}"] = {
            "parameters": [one],
            "get": _operation("One of them", _answers(ref(schema), 400, 401, 403, 404), tags=["catalog"]),
            "put": _operation(
                "Add or replace one", _answers(ANY, 400, 401, 403, 408, 413, 429, 503), tags=["catalog"],
                body=ref(f"{schema}Body"),
            ),
            "delete": _operation("Take one out", _answers(ANY, 400, 401, 403, 404, 429, 503), tags=["catalog"]),
        }  # fmt: skip
    paths["/v1/posts/{id}"] = {
        "parameters": [_in_path("id", ref("Id"))],
        "get": _operation(
            "What a post is about, and what networks count of it", _answers(ref("Post"), 400, 401, 403, 404),
            tags=["catalog"],
        ),
    }  # fmt: skip
    paths["/v1/posts/{id}/ties"] = {
        "parameters": [_in_path("id", ref("Id"))],
        "get": _operation("What a post is tied to", _answers(ref("Ties"), 400, 401, 403, 404), tags=["catalog"]),
        "put": _operation(
            "Confirm or correct it", _answers(ref("Ties"), 400, 401, 403, 404, 408, 413, 429, 503), tags=["catalog"],
            body=ref("Confirmed"),
        ),
    }  # fmt: skip
    return paths


def _audiences() -> dict[str, Any]:
    one = _in_path("id", ref("AudienceId"))
    lines = {
        "200": {
            "description": "A line for each person.",
            "content": {"application/x-ndjson": {"schema": TEXT}},
        }
    }
    return {
        "/v1/audiences": {
            "get": _operation("All audiences", _answers(fields(["audiences"], audiences=many(ref("Audience"))), 401, 403), tags=["audiences"])
        },
        "/v1/audiences/{id}": {
            "parameters": [one],
            "get": _operation("One of them, and what is for it", _answers(ref("Audience"), 401, 403, 404), tags=["audiences"]),
            "put": _operation(
                "Add or replace one", _answers(ref("Audience"), 400, 401, 403, 408, 409, 413, 429, 503), tags=["audiences"],
                body=ref("AudienceBody"),
            ),
            "delete": _operation("Take one out", _answers(ANY, 401, 403, 404, 409, 429, 503), tags=["audiences"]),
        },
        "/v1/audiences/{id}/size": {
            "parameters": [one],
            "get": _operation(
                "How many people are in it", tags=["audiences"],
                answers=_answers(fields(["people", "of", "at"], people=WHOLE, of=WHOLE, at=WHOLE), 401, 403, 404, 503),
            ),
        },
        "/v1/audiences/{id}/members": {
            "parameters": [one],
            "get": _operation(
                "Who is in it, as lines of JSON", tags=["audiences"],
                answers=lines | {k: v for k, v in _answers(ANY, 401, 403, 404, 503).items() if k != "200"},
            ),
        },
    }  # fmt: skip


def _people() -> dict[str, Any]:
    one = _in_path("identifier", ref("Identifier"))
    return {
        "/v1/profiles/{identifier}": {
            "parameters": [one],
            "get": _operation(
                "Who a person is, what they like and why", _answers(ref("Profile"), 400, 401, 403, 404),
                tags=["people"],
                parameters=[
                    _in_query("include", {"enum": ["events"]}),
                    _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}),
                    _in_query("events", {"type": "integer", "minimum": 1, "maximum": 1_000}),
                ],
            ),
            "delete": _operation("Forget a person", _answers(ANY, 400, 401, 403, 404, 429, 503), tags=["people"]),
        },
        "/v1/profiles/{identifier}/export": {
            "parameters": [one],
            "get": _operation("Everything known about a person", _answers(ANY, 400, 401, 403, 404), tags=["people"]),
        },
        **{
            f"/v1/{name}": {
                "post": _operation(
                    summary, _answers(ANY, 400, 401, 403, 408, 413, 429, 503), tags=["people"], body=ref(body),
                )
            }
            for name, summary, body in (
                ("link", "Say that two identifiers are one person's", "Link"),
                ("unlink", "Say that they are not", "Unlink"),
            )
        },
        "/v1/proofs": {
            "post": _operation(
                "Have somebody prove that an account on a network is theirs", _answers(ANY, 400, 401, 403, 408, 413, 429, 503), tags=["people"],
                body=ref("Proof"),
            )
        },
        "/v1/proofs/client.json": {
            "get": _operation("Who asks, for networks that read it", _answers(ANY, 404), security=[], tags=["people"])
        },
    }  # fmt: skip


def _sources() -> dict[str, Any]:
    one = _in_path("source", ref("Source"))
    refused = (400, 401, 403, 404, 408, 413, 429, 503)
    return {
        "/v1/sources": {
            "get": _operation(
                "The connected accounts, and how they are", _answers(fields(["sources"], sources=many(ANY)), 401, 403), tags=["sources"],
            ),
            "post": _operation(
                "Connect an account on a network", _answers(ANY, *refused), tags=["sources"],
                body=ref("SourceBody"),
            ),
        },
        "/v1/sources/{source}": {
            "parameters": [one],
            "get": _operation(
                "One account", _answers(fields(["source", "cursors"]), 400, 401, 403, 404, 503), tags=["sources"],
                parameters=[_in_query("settled", {"enum": ["1"]})],
            ),
            "delete": _operation("Disconnect it and forget its secrets", _answers(ANY, 400, 401, 403, 404), tags=["sources"]),
        },
        "/v1/sources/{source}/pages": {
            "parameters": [one],
            "post": _operation(
                "Keep what a connector told, and from where it goes on", _answers(fields(["accepted", "position"]), *refused),
                tags=["sources"], body=ref("SourcePage"),
            ),
        },
    }  # fmt: skip


def _operate() -> dict[str, Any]:
    text = {"200": {"description": "Done.", "content": {"text/plain": {"schema": TEXT}}}}
    health = fields(["status"], status=TEXT)
    return {
        "/health/live": {
            "get": _operation("Does the process answer", _answers(health), security=[], tags=["operate"])
        },
        "/health/ready": {
            "get": _operation("Are questions answered", _answers(health, 503), security=[], tags=["operate"])
        },
        "/v1/status": {
            "get": _operation("Where everything stands", _answers(ANY, 401, 403), tags=["operate"])
        },
        "/v1/fit": {"post": _operation("Fit a model now", _answers(ANY, 401, 403, 503), tags=["operate"])},
        "/metrics": {
            "get": _operation(
                "Figures for Prometheus",
                text | {k: v for k, v in _answers(ANY, 401, 403).items() if k != "200"},
                tags=["operate"],
            )
        },
        "/v1/live": {
            "get": _operation(
                "A person's events as they are folded, as server-sent events",
                {
                    "200": {"description": "A stream.", "content": {"text/event-stream": {"schema": TEXT}}},
                    **{k: v for k, v in _answers(ANY, 400, 401, 403).items() if k != "200"},
                },
                security=[{"bearer": []}, {}],
                tags=["operate"],
                parameters=[
                    _in_query("identifier", ref("Identifier"), required=True),
                    _in_query("token", TEXT),
                ],
            )
        },
        "/openapi.json": {"get": _operation("This document", _answers(ANY), security=[], tags=["operate"])},
    }

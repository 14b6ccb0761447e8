"""This API as an OpenAPI document: written by hand, held to the truth by schemathesis (tests/peers)."""

from __future__ import annotations

from functools import cache
from typing import Any

from plait import __version__
from plait.events import MAX_WHO, PURPOSES, Signal

Schema = dict[str, Any]

_ANY: Schema = {"type": "object"}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_IDENTIFIER: Schema = {
    "type": "string", "pattern": "^[a-z][a-z0-9_]{0,30}:[^\\x00-\\x1f\\x7f/]{1,90}$", "examples": ["user:42"],
}  # fmt: skip


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(schema: Schema, *errors: int) -> dict[str, Any]:
    told: dict[str, Any] = {"200": {"description": "Done.", "content": _json(schema)}}
    for status in errors:
        told[str(status)] = {"description": _ERRORS[status], "content": _json(_ref("Error"))}
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
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY},
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
        shape = _ref("Batch" if name in ("batch", "import") else name.capitalize())
        for path in [f"/v1/{name}"] + ([f"/v1/{short}"] if short else []):
            paths[path] = {
                "post": _operation(
                    summary, _answers(_ref("Accepted"), 400, 401, 403, 408, 413, 429, 503),
                    body=shape, security=_COLLECTING, tags=["collect"],
                    parameters=[_in_query("verdicts", {"type": "string", "description": "1 asks for a verdict on every event"})],
                )
            }  # fmt: skip
    paths["/v1/events"] = {
        "post": _operation(
            "Events in Plait's own vocabulary", _answers(_ref("Accepted"), 400, 401, 403, 408, 413, 429, 503),
            body=_object(["events"], events=_list(_ref("Event"), minItems=1, maxItems=2_500)),
            security=_COLLECTING, tags=["collect"], parameters=[_in_query("verdicts", {"type": "string", "description": "1 asks for a verdict on every event"})],
        )
    }  # fmt: skip
    return paths


def _questions() -> dict[str, Any]:
    errors = (400, 401, 403, 404, 408, 413, 429, 503)
    return {
        "/v1/personalize": {
            "post": _operation(
                "What to show on one page, for its placements together", _answers(_ref("Decision"), *errors),
                body=_ref("Question"), security=_COLLECTING, tags=["personalize"],
            )
        },
        "/v1/placements/{id}/items": {
            "get": _operation(
                "What to show in one placement", _answers(_ref("Decision"), *errors),
                security=_COLLECTING, tags=["personalize"],
                parameters=[_in_path("id", _PATH), _in_query("identifier", _IDENTIFIER)],
            )
        },
    }  # fmt: skip


_TIED: Schema = {"type": "string", "pattern": "^(item|topic):[a-z0-9-]{1,60}$"}
_SAID: Schema = {
    "type": "object",
    "patternProperties": {_TIED["pattern"]: {"type": "boolean"}},
    "additionalProperties": False,
    "maxProperties": 256,
}


def _catalog() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, schema in (("items", "Item"), ("placements", "Placement")):
        one = _in_path("id", _PATH)
        gone = {"delete": _list(_ID, maxItems=100)} if name == "items" else {}
        paths[f"/v1/{name}"] = {
            "get": _operation(f"All {name}, a page at a time", _answers(_ANY, 400, 401, 403), tags=["catalog"]),
            "post": _operation(
                f"Add or replace {name}", _answers(_ANY, 400, 401, 403, 408, 413, 429, 503), tags=["catalog"],
                body=_closed(_object([name], **{name: _list(_ref(schema), maxItems=100)}, **gone)),
            ),
        }  # fmt: skip
        paths[f"/v1/{name}/{{id}}"] = {
            "parameters": [one],
            "get": _operation("One of them", _answers(_object(["id"], id=_TEXT), 400, 401, 403, 404), tags=["catalog"]),
            "put": _operation(
                "Add or replace one", _answers(_ANY, 400, 401, 403, 408, 413, 429, 503), tags=["catalog"],
                body=_ref(f"{schema}Body"),
            ),
            "delete": _operation("Take one out", _answers(_ANY, 400, 401, 403, 404, 429, 503), tags=["catalog"]),
        }  # fmt: skip
    paths["/v1/posts/{id}"] = {
        "parameters": [_in_path("id", _PATH)],
        "get": _operation(
            "What a post is about, and what networks count of it", _answers(_ref("Post"), 400, 401, 403, 404),
            tags=["catalog"],
        ),
    }  # fmt: skip
    paths["/v1/posts/{id}/ties"] = {
        "parameters": [_in_path("id", _PATH)],
        "get": _operation("What a post is tied to", _answers(_ref("Ties"), 400, 401, 403, 404), tags=["catalog"]),
        "put": _operation(
            "Confirm or correct it", _answers(_ref("Ties"), 400, 401, 403, 404, 408, 413, 429, 503), tags=["catalog"],
            body=_closed(_object(["ties"], ties=_SAID)),
        ),
    }  # fmt: skip
    return paths


def _audiences() -> dict[str, Any]:
    one = _in_path("id", _PATH)
    lines = {
        "200": {
            "description": "A line for each person.",
            "content": {"application/x-ndjson": {"schema": _TEXT}},
        }
    }
    found = _object(
        ["id", "where"], id=_TEXT, title=_TEXT, where=_TEXT, promotions=_list(_TEXT), placements=_list(_TEXT)
    )
    return {
        "/v1/audiences": {
            "get": _operation("All audiences", _answers(_object(["audiences"], audiences=_list(found)), 401, 403), tags=["audiences"])
        },
        "/v1/audiences/{id}": {
            "parameters": [one],
            "get": _operation("One of them, and what is for it", _answers(found, 401, 403, 404), tags=["audiences"]),
            "put": _operation(
                "Add or replace one", _answers(found, 400, 401, 403, 408, 409, 413, 429, 503), tags=["audiences"],
                body=_closed(_object(["where"], title={"type": ["string", "null"], "pattern": "^[^\\x00-\\x1f\\x7f]{0,200}$"}, where={"enum": ["follows() and not bought()", "count('view', 'tents') > 3"]})),
            ),
            "delete": _operation("Take one out", _answers(_ANY, 401, 403, 404, 409, 429, 503), tags=["audiences"]),
        },
        "/v1/audiences/{id}/size": {
            "parameters": [one],
            "get": _operation(
                "How many people are in it", tags=["audiences"],
                answers=_answers(_object(["people", "of", "at"], people=_WHOLE, of=_WHOLE, at=_WHOLE), 401, 403, 404, 503),
            ),
        },
        "/v1/audiences/{id}/members": {
            "parameters": [one],
            "get": _operation(
                "Who is in it, as lines of JSON", tags=["audiences"],
                answers=lines | {k: v for k, v in _answers(_ANY, 401, 403, 404, 503).items() if k != "200"},
            ),
        },
    }  # fmt: skip


def _people() -> dict[str, Any]:
    one = _in_path("identifier", _IDENTIFIER)
    return {
        "/v1/profiles/{identifier}": {
            "parameters": [one],
            "get": _operation(
                "Who a person is, what they like and why", _answers(_ref("Profile"), 400, 401, 403, 404),
                tags=["people"],
                parameters=[
                    _in_query("include", {"enum": ["events"]}),
                    _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}),
                    _in_query("events", {"type": "integer", "minimum": 1, "maximum": 1_000}),
                ],
            ),
            "delete": _operation("Forget a person", _answers(_ANY, 400, 401, 403, 404, 429, 503), tags=["people"]),
        },
        "/v1/profiles/{identifier}/export": {
            "parameters": [one],
            "get": _operation("Everything known about a person", _answers(_ANY, 400, 401, 403, 404), tags=["people"]),
        },
        **{
            f"/v1/{name}": {
                "post": _operation(
                    summary, _answers(_ANY, 400, 401, 403, 408, 413, 429, 503), tags=["people"],
                    body=_closed(_object(["identifiers"], **more, consent={"type": ["boolean", "null"]}, identifiers=_list(_IDENTIFIER, minItems=2, maxItems=2, uniqueItems=True))),
                )
            }
            for name, summary, more in (
                ("link", "Say that two identifiers are one person's", {"proof": {"enum": ["statement", "sign_in", None]}}),
                ("unlink", "Say that they are not", {}),
            )
        },
        "/v1/proofs": {
            "post": _operation(
                "Have somebody prove that an account on a network is theirs", _answers(_ANY, 400, 401, 403, 408, 413, 429, 503), tags=["people"],
                body=_closed(_object(
                    ["identifier", "way", "consent"], identifier=_IDENTIFIER, way={"enum": ["code", "rel_me", "sign_in"]}, consent={"const": True},
                    network=_TEXT, account=_IDENTIFIER, url=_TEXT, page=_TEXT, host=_TEXT, callback=_TEXT, back=_TEXT, proof=_TEXT,
                )),
            )
        },
    }  # fmt: skip


def _sources() -> dict[str, Any]:
    one = _in_path("source", _IDENTIFIER)
    refused = (400, 401, 403, 404, 408, 413, 429, 503)
    account: Schema = {"type": "string", "pattern": "^(bluesky|mastodon):[a-z0-9:.@-]{1,60}$"}
    fact = _object(
        ["id", "signal", "who"], id=_WORD, signal={"enum": ["like", "share", "reply", "mention", "follow"]},
        who=_list(account, minItems=1, maxItems=1), at={"type": "integer", "minimum": 1_600_000_000_000, "maximum": 1_700_000_000_000},
        op={"enum": ["assert", "retract"]}, about=_closed(_object([], post=_ID, account=account)), record=_WORD,
    )  # fmt: skip
    page = _object(
        [], events=_list(_closed(fact), maxItems=20), lane={"enum": ["stream", "poll", "backfill", "hook"]},
        cursor={"type": ["string", "null"], "maxLength": 4_096}, done={"type": "boolean"},
        gap={"type": ["string", "null"], "maxLength": 500}, gone=_list(account, maxItems=3),
    )  # fmt: skip
    credentials = {"type": "object", "additionalProperties": _TEXT}
    return {
        "/v1/sources": {
            "get": _operation(
                "The connected accounts, and how they are", _answers(_object(["sources"], sources=_list(_ANY)), 401, 403), tags=["sources"],
            ),
            "post": _operation(
                "Connect an account on a network", _answers(_ANY, *refused), tags=["sources"],
                body=_closed(_object(
                    [], network=_TEXT, host=_TEXT, credentials=credentials, back=_TEXT, state=_TEXT, answered=credentials,
                )),
            ),
        },
        "/v1/sources/{source}": {
            "parameters": [one],
            "get": _operation(
                "One account", _answers(_object(["source", "cursors"]), 400, 401, 403, 404, 503), tags=["sources"],
                parameters=[_in_query("settled", {"enum": ["1"]})],
            ),
            "delete": _operation("Disconnect it and forget its secrets", _answers(_ANY, 400, 401, 403, 404), tags=["sources"]),
        },
        "/v1/sources/{source}/pages": {
            "parameters": [one],
            "post": _operation(
                "Keep what a connector told, and from where it goes on", _answers(_object(["accepted", "position"]), *refused),
                tags=["sources"], body=_closed(page),
            ),
        },
    }  # fmt: skip


def _operate() -> dict[str, Any]:
    text = {"200": {"description": "Done.", "content": {"text/plain": {"schema": _TEXT}}}}
    health = _object(["status"], status=_TEXT)
    return {
        "/health/live": {
            "get": _operation("Does the process answer", _answers(health), security=[], tags=["operate"])
        },
        "/health/ready": {
            "get": _operation("Are questions answered", _answers(health, 503), security=[], tags=["operate"])
        },
        "/v1/status": {
            "get": _operation("Where everything stands", _answers(_ANY, 401, 403), tags=["operate"])
        },
        "/v1/fit": {"post": _operation("Fit a model now", _answers(_ANY, 401, 403, 503), tags=["operate"])},
        "/metrics": {
            "get": _operation(
                "Figures for Prometheus",
                text | {k: v for k, v in _answers(_ANY, 401, 403).items() if k != "200"},
                tags=["operate"],
            )
        },
        "/v1/live": {
            "get": _operation(
                "A person's events as they are folded, as server-sent events",
                {
                    "200": {"description": "A stream.", "content": {"text/event-stream": {"schema": _TEXT}}},
                    **{k: v for k, v in _answers(_ANY, 400, 401, 403).items() if k != "200"},
                },
                security=[{"bearer": []}, {}],
                tags=["operate"],
                parameters=[_in_query("identifier", _IDENTIFIER, required=True), _in_query("token", _TEXT)],
            )
        },
        "/openapi.json": {"get": _operation("This document", _answers(_ANY), security=[], tags=["operate"])},
    }


_WORD: Schema = {"type": "string", "pattern": "^[a-z]{3,9}-[a-z0-9]{1,40}$"}
_PATH: Schema = {"type": "string", "pattern": "^[^\\s/?#%.\\x00-\\x1f\\x7f][^\\s/?#%\\x00-\\x1f\\x7f]{0,40}$"}
_ID: Schema = {"type": "string", "pattern": "^[a-z0-9.-]{1,64}$"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_FLAG: Schema = {"type": "boolean"}
_WHOLE: Schema = {"type": "integer"}
_AIMED: Schema = {
    "enum": [None],
    "description": "The id of an audience that there is; of an item of kind promotion, or of a placement.",
}
_TEXTS = _list({"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{0,40}$"}, maxItems=20)
_LINK: Schema = {"type": "string", "pattern": "^https://shop[.]example/[a-z0-9/-]{0,80}$"}


def _closed(schema: Schema) -> Schema:
    return schema | {"additionalProperties": False}


def _maybe(fields: dict[str, Schema]) -> dict[str, Schema]:
    """``null`` says the same as leaving a field out."""
    return {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in fields.items()}


# What may stand in properties, traits and context: anything; a program that makes it up had better keep to this.
_PLAIN: Schema = {
    "type": "object", "propertyNames": {"pattern": "^[a-z]{3,12}_x$"},
    "additionalProperties": {"anyOf": [_WORD, {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}, _FLAG]},
}  # fmt: skip


def _calls() -> dict[str, Schema]:
    """The calls of the Segment protocol; more fields than these are kept and not looked at."""
    fields = {
        "messageId": _WORD, "userId": _WORD, "anonymousId": _WORD, "timestamp": _MOMENT, "sentAt": _MOMENT,
        "name": _WORD, "properties": _PLAIN, "traits": _PLAIN, "context": _PLAIN,
    }  # fmt: skip
    needs = {
        "Track": {"event": _WORD}, "Identify": {}, "Page": {}, "Screen": {}, "Group": {"groupId": _WORD},
        "Alias": {"previousId": _WORD},
    }  # fmt: skip
    found = {name: _closed(_object(["anonymousId", *more], **fields, **more)) for name, more in needs.items()}
    typed = [
        _closed(_object(["type", "anonymousId", *more], type={"const": name.lower()}, **fields, **more))
        for name, more in needs.items()
    ]
    return found | {"Call": {"oneOf": typed}}


def _schemas() -> dict[str, Schema]:
    item: dict[str, Schema] = {
        "title": {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{0,200}$"}, "kind": {"type": "string", "pattern": "^[a-z]{1,20}$"},
        "topics": _TEXTS, "price": {"type": "number", "minimum": 0, "maximum": 1e9}, "available": _FLAG,
        "url": _LINK, "image": _LINK, "sections": _TEXTS,
        "attributes": {"type": "object", "propertyNames": _ID, "additionalProperties": _WORD},
        "published": _MOMENT, "starts": {"type": "string", "const": "2026-01-01T00:00:00Z"},
        "ends": {"type": "string", "const": "2027-01-01T00:00:00Z"},
        "cap": {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "for": _TEXTS,
        "ties": _list(_closed(_object(["to"], to=_TIED, confidence={"type": "number", "minimum": 0, "maximum": 1}, how=_TIED)), maxItems=64),
        "confirmed": _SAID, "audience": _AIMED,
    }  # fmt: skip
    placement: dict[str, Schema] = {
        "title": {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{0,200}$"}, "n": {"type": "integer", "minimum": 1, "maximum": 100}, "kinds": _TEXTS,
        "where": {"enum": ["price < 200", "available", "'tents' in topics"]}, "public": _FLAG, "related": _FLAG,
        "bought": _FLAG, "explore": {"const": 0}, "audience": _AIMED,
    }  # fmt: skip
    because = _object(
        ["source", "signal"], source=_TEXT, signal=_TEXT, about=_TEXT, share=_NUMBER, weight=_NUMBER
    )
    tied: dict[str, Schema] = {
        "post": _TEXT, "confirmed": {"type": "object", "additionalProperties": _FLAG},
        "ties": _list(_object(["to", "confidence", "how"], to=_TEXT, confidence=_NUMBER, how=_TEXT)),
    }  # fmt: skip
    return {
        "Error": _object(["code", "message"], code=_TEXT, message=_TEXT, field=_TEXT),
        **_calls(),
        "Batch": _closed(_object(["batch"], batch=_list(_ref("Call"), minItems=1, maxItems=20), sentAt=_MOMENT)),
        "Accepted": _object(["success", "accepted"], success=_FLAG, accepted=_WHOLE, refused=_list(_ANY), verdicts=_list(_ANY)),
        "Event": _event(),
        "Question": _question(),
        "Decision": _object(["decision", "placements"], decision=_TEXT, took_ms=_NUMBER, placements=_ANY, degraded=_FLAG),
        "Item": _closed(_object(["id"], id=_ID, **_maybe(item))),
        "ItemBody": _closed(_object([], **_maybe(item))),
        "Ties": _object(["post", "ties", "confirmed"], **tied),
        "Post": _object(
            ["post", "counts"], **tied, title=_TEXT, url=_TEXT, published=_WHOLE,
            counts=_list(_object(["source", "signal", "value", "at"], source=_TEXT, signal=_TEXT, value=_NUMBER, at=_WHOLE)),
        ),
        "Placement": _closed(_object(["id"], id=_ID, **_maybe(placement))),
        "PlacementBody": _closed(_object([], **_maybe(placement))),
        "Interest": _object(["weight", "because"], item=_TEXT, topic=_TEXT, weight=_NUMBER, because=_list(because)),
        "Profile": _object(
            ["identifiers", "counts", "interests", "traits", "devices"],
            identifiers=_list(_TEXT), counts={"type": "object", "additionalProperties": _WHOLE},
            interests=_list(_ref("Interest")), follows=_list(_ANY), traits=_ANY, devices=_list(_ANY), links=_list(_ANY), audiences=_list(_TEXT),
            consents={"type": "object", "additionalProperties": _FLAG}, events=_list(_ANY),
            first_at=_WHOLE, last_at=_WHOLE, bots=_WHOLE,
        ),
    }  # fmt: skip


def _event() -> Schema:
    consent = _closed(
        _object(
            [],
            **{
                one: {
                    "anyOf": [_FLAG, {"type": "object", "propertyNames": _ID, "additionalProperties": _FLAG}]
                }
                for one in PURPOSES
            },
        )
    )
    about = _closed(_object([], item=_ID, post=_ID, topic=_ID, section=_ID, query=_WORD, url=_LINK))
    # Signals that need more than these fields say (a consent, a second identifier, an about) are told in the reference.
    plain = ["view", "search", "add", "remove", "checkout", "purchase", "click", "share", "session", "other"]
    return _closed(
        _object(
            ["signal", "who"], id={"type": "string", "pattern": "^[a-z0-9-]{8,100}$"},
            signal={"enum": plain, "description": f"One of {', '.join(Signal)}."},
            who=_list(_IDENTIFIER, minItems=1, maxItems=MAX_WHO), source=_ID, op={"enum": ["assert", "retract"]},
            at=_MOMENT, sent_at=_MOMENT, about=about, value={"type": "number", "minimum": 0, "maximum": 1e6},
            name=_WORD, decision=_ID, consent=consent, traits=_PLAIN, context=_PLAIN, properties=_PLAIN,
        )
    )  # fmt: skip


def _question() -> Schema:
    asked = _closed(
        _object(
            ["id"], id={"enum": ["home.grid", "home.hero"]}, n={"type": "integer", "minimum": 1, "maximum": 100},
            where={"enum": ["price < 200", "available"]}, exclude=_list(_ID, maxItems=20), item=_ID,
        )
    )  # fmt: skip
    return _closed(
        _object(
            ["placements"], identifiers=_list(_IDENTIFIER, maxItems=MAX_WHO),
            page=_closed(_object([], url=_LINK, item=_ID)), context=_PLAIN, events=_list(_ref("Event"), maxItems=20),
            exclude=_list(_ID, maxItems=20), explain=_FLAG, details=_FLAG,
            token={"type": "string", "description": "With the write key, for a known person."},
            placements=_list(asked, minItems=1, maxItems=1),
        )
    )  # fmt: skip

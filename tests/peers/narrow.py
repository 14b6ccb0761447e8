"""What schemathesis may make up: the API's own document, with narrower shapes for what is sent.

A shape says what may be sent, and cannot say all of it: that a condition has to be one, that ``starts`` lies before ``ends``,
that an audience has to be there. What answers look like stays as the document tells it.
"""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]

PEOPLE: Schema = {
    "type": "string", "pattern": "^[a-z][a-z0-9_]{0,30}:[^\\x00-\\x1f\\x7f/]{1,90}$", "examples": ["user:42"],
}  # fmt: skip
ACCOUNT: Schema = {"type": "string", "pattern": "^(bluesky|mastodon):[a-z0-9:.@-]{1,60}$"}
WORD: Schema = {"type": "string", "pattern": "^[a-z]{3,9}-[a-z0-9]{1,40}$"}
PATH: Schema = {
    "type": "string",
    "pattern": "^[^\\s/?#%.\\x00-\\x1f\\x7f][^\\s/?#%\\x00-\\x1f\\x7f]{0,40}$",
}
ID: Schema = {"type": "string", "pattern": "^[a-z0-9.-]{1,64}$"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
FLAG: Schema = {"type": "boolean"}
TITLE: Schema = {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{0,200}$"}
LINK: Schema = {"type": "string", "pattern": "^https://shop[.]example/[a-z0-9/-]{0,80}$"}
TIED: Schema = {"type": "string", "pattern": "^(item|topic):[a-z0-9-]{1,60}$"}
PURPOSES = ("collect", "personalize", "link", "social")


def many(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


def closed(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def maybe(properties: dict[str, Schema]) -> dict[str, Schema]:
    return {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in properties.items()}


TEXTS = many({"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{0,40}$"}, maxItems=20)
# Anything may stand in properties, traits and context; but it may mean something there.
PLAIN: Schema = {
    "type": "object", "propertyNames": {"pattern": "^[a-z]{3,12}_x$"},
    "additionalProperties": {"anyOf": [WORD, {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}, FLAG]},
}  # fmt: skip
SAID: Schema = {
    "type": "object", "patternProperties": {TIED["pattern"]: FLAG}, "additionalProperties": False, "maxProperties": 256,
}  # fmt: skip


def calls() -> dict[str, Schema]:
    fields = {
        "messageId": WORD, "userId": WORD, "anonymousId": WORD, "timestamp": MOMENT, "sentAt": MOMENT,
        "name": WORD, "properties": PLAIN, "traits": PLAIN, "context": PLAIN,
    }  # fmt: skip
    needs = {
        "Track": {"event": WORD}, "Identify": {}, "Page": {}, "Screen": {}, "Group": {"groupId": WORD}, "Alias": {"previousId": WORD},
    }  # fmt: skip
    found = {name: closed(["anonymousId", *more], **fields, **more) for name, more in needs.items()}
    typed = [
        closed(["type", "anonymousId", *more], type={"const": name.lower()}, **fields, **more)
        for name, more in needs.items()
    ]
    batch = closed(["batch"], batch=many({"oneOf": typed}, minItems=1, maxItems=20), sentAt=MOMENT)
    return found | {"Batch": batch}


def event() -> Schema:
    of_a_source = {"type": "object", "propertyNames": ID, "additionalProperties": FLAG}
    consent = closed([], **{one: {"anyOf": [FLAG, of_a_source]} for one in PURPOSES})
    about = closed([], item=ID, post=ID, topic=ID, section=ID, query=WORD, url=LINK)
    # Signals that need more than these fields say (a consent, a second identifier, an about) are told in the reference.
    plain = ["view", "search", "add", "remove", "checkout", "purchase", "click", "share", "session", "other"]
    return closed(
        ["signal", "who"], id={"type": "string", "pattern": "^[a-z0-9-]{8,100}$"}, signal={"enum": plain},
        who=many(PEOPLE, minItems=1, maxItems=16), source=ID, op={"enum": ["assert", "retract"]},
        at=MOMENT, sent_at=MOMENT, about=about, value={"type": "number", "minimum": 0, "maximum": 1e6},
        name=WORD, decision=ID, consent=consent, traits=PLAIN, context=PLAIN, properties=PLAIN,
    )  # fmt: skip


def catalog() -> dict[str, Schema]:
    tie = closed(["to"], to=TIED, confidence={"type": "number", "minimum": 0, "maximum": 1}, how=TIED)
    item: dict[str, Schema] = {
        "title": TITLE, "kind": {"type": "string", "pattern": "^[a-z]{1,20}$"}, "topics": TEXTS,
        "price": {"type": "number", "minimum": 0, "maximum": 1e9}, "available": FLAG, "url": LINK, "image": LINK, "sections": TEXTS,
        "attributes": {"type": "object", "propertyNames": ID, "additionalProperties": WORD},
        "published": MOMENT, "starts": {"const": "2026-01-01T00:00:00Z"}, "ends": {"const": "2027-01-01T00:00:00Z"},
        "cap": {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "for": TEXTS,
        "ties": many(tie, maxItems=64), "confirmed": SAID, "audience": {"enum": [None]},
    }  # fmt: skip
    placement: dict[str, Schema] = {
        "title": TITLE, "n": {"type": "integer", "minimum": 1, "maximum": 100}, "kinds": TEXTS,
        "where": {"enum": ["price < 200", "available", "'tents' in topics"]}, "public": FLAG, "related": FLAG,
        "bought": FLAG, "explore": {"const": 0}, "audience": {"enum": [None]},
    }  # fmt: skip
    items = many(closed(["id"], id=ID, **maybe(item)), maxItems=100)
    placements = many(closed(["id"], id=ID, **maybe(placement)), maxItems=100)
    return {
        "Items": closed(["items"], items=items, delete=many(ID, maxItems=100)),
        "ItemBody": closed([], **maybe(item)),
        "Placements": closed(["placements"], placements=placements),
        "PlacementBody": closed([], **maybe(placement)),
        "Confirmed": closed(["ties"], ties=SAID),
        "AudienceBody": closed(
            ["where"], title={"anyOf": [TITLE, {"type": "null"}]},
            where={"enum": ["follows() and not bought()", "count('view', 'tents') > 3"]},
        ),
    }  # fmt: skip


def page() -> Schema:
    fact = closed(
        ["id", "signal", "who"], id=WORD, signal={"enum": ["like", "share", "reply", "mention", "follow"]},
        who=many(ACCOUNT, minItems=1, maxItems=1), at={"type": "integer", "minimum": 1_600_000_000_000, "maximum": 1_700_000_000_000},
        op={"enum": ["assert", "retract"]}, about=closed([], post=ID, account=ACCOUNT), record=WORD,
    )  # fmt: skip
    return closed(
        [], events=many(fact, maxItems=20), lane={"enum": ["stream", "poll", "backfill", "hook"]},
        cursor={"type": ["string", "null"], "maxLength": 4_096}, done=FLAG,
        gap={"type": ["string", "null"], "maxLength": 500}, gone=many(ACCOUNT, maxItems=3),
    )  # fmt: skip


def question() -> Schema:
    asked = closed(
        ["id"], id={"enum": ["home.grid", "home.hero"]}, n={"type": "integer", "minimum": 1, "maximum": 100},
        where={"enum": ["price < 200", "available"]}, exclude=many(ID, maxItems=20), item=ID,
    )  # fmt: skip
    return closed(
        ["placements"], identifiers=many(PEOPLE, maxItems=16), page=closed([], url=LINK, item=ID), context=PLAIN,
        events=many(event(), maxItems=20), exclude=many(ID, maxItems=20), explain=FLAG, details=FLAG,
        token={"type": "string"}, placements=many(asked, minItems=1, maxItems=1),
    )  # fmt: skip


SENT: dict[str, Schema] = {
    "Identifier": PEOPLE, "Source": PEOPLE, "Id": PATH, "PlacementId": PATH, "AudienceId": PATH,
    "Condition": {"enum": ["price < 200", "available"]}, "Question": question(), "SourcePage": page(),
    "Events": closed(["events"], events=many(event(), minItems=1, maxItems=2_500)), **calls(), **catalog(),
}  # fmt: skip
UNKNOWN = {"/v1/items": {"after"}}  # names in queries that have to be somebody's


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The document for who makes requests up: what is sent is narrower, what is answered as it was told."""
    told = json.loads(json.dumps(document))
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            operation["responses"] = _as_told(operation["responses"])
            operation["parameters"] = [
                one for one in operation.get("parameters", []) if one["name"] not in UNKNOWN.get(path, ())
            ]
    shapes = told["components"]["schemas"]
    assert SENT.keys() <= shapes.keys()
    told["components"]["schemas"] = (
        shapes | SENT | {f"Told{name}": _as_told(one) for name, one in shapes.items()}
    )
    return told


def _as_told(shape: Any) -> Any:
    return json.loads(json.dumps(shape).replace('"#/components/schemas/', '"#/components/schemas/Told'))

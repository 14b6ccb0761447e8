"""The shapes of what the API takes and answers, for its OpenAPI document: as they are, so that a program can be made from them."""

from __future__ import annotations

from typing import Any, get_args

from plait.catalog import checks
from plait.catalog.items import MAX_SHOWN
from plait.decide import MAX_EXCLUDED, MAX_PLACEMENTS
from plait.events import MAX_BATCH, MAX_IDENTIFIER, MAX_WHO, PURPOSES, Op, Signal
from plait.intake.told import Lane
from plait.pages import LONGEST_CURSOR, LONGEST_GAP, MOST_GONE

Schema = dict[str, Any]

ANY: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
LONGEST_ID = 256


def fields(required: list[str], **properties: Schema) -> Schema:
    """An object that may hold more than these fields."""
    return {"type": "object", "required": required, "properties": properties}


def closed(required: list[str], **properties: Schema) -> Schema:
    """An object that holds nothing else; ``null`` says the same as leaving a field out."""
    return fields(required, **properties) | {"additionalProperties": False}


def many(of: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": of, **more}


def ref(name: str) -> Schema:
    """One of ``schemas``."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """The same, or ``null``."""
    return {"anyOf": [schema, {"type": "null"}]}


def schemas() -> dict[str, Schema]:
    """Everything that has a name."""
    return {
        "Error": fields(["code", "message"], code=TEXT, message=TEXT, field=TEXT),
        **_words(),
        **_calls(),
        **_events(),
        **_catalog(),
        **_questions(),
        **_people(),
        **_sources(),
    }


def _words() -> dict[str, Schema]:
    """What stands in many places."""
    return {
        "Identifier": {
            "type": "string", "pattern": "^[a-z0-9_]+:[^\\x00-\\x1f\\x7f]+$", "maxLength": MAX_IDENTIFIER,
            "description": f"`type:value`, {MAX_IDENTIFIER} bytes at most.", "examples": ["user:42", "anonymous:8c1f6a52-6f0e-4f5e-9a3d-0b7f2f1c9e11"],
        },
        "Id": {
            "type": ["string", "integer"], "minLength": 1, "maxLength": LONGEST_ID,
            "description": f"Text without control characters, {LONGEST_ID} bytes at most, or a whole number.", "examples": ["tent-2"],
        },
        "PlacementId": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "description": "Without `/`.", "examples": ["home.grid"]},
        "AudienceId": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "description": "Without `/`.", "examples": ["fans"]},
        "Condition": {"type": "string", "description": "SQL's boolean expressions.", "examples": ["price < 200 and available"]},
        "Time": {
            "type": ["string", "number"], "description": "ISO 8601, or ms since the epoch.", "examples": ["2026-05-01T09:00:00Z", 1_777_626_000_000],
        },
        "Consent": {
            "type": "object", "additionalProperties": False,
            "properties": {one: {"anyOf": [FLAG, {"type": "object", "additionalProperties": FLAG}]} for one in PURPOSES},
            "description": "Whether each purpose is allowed; for each source apart where they differ.",
        },
    }  # fmt: skip


def _calls() -> dict[str, Schema]:
    """The calls of the Segment protocol; more fields than these are kept and not looked at."""
    name = {"type": ["string", "number", "null"]}
    free = {"type": ["object", "null"]}
    shared: dict[str, Schema] = {
        "messageId": name, "userId": name, "anonymousId": name, "timestamp": maybe(ref("Time")), "originalTimestamp": maybe(ref("Time")),
        "sentAt": maybe(ref("Time")), "name": {"type": ["string", "null"]}, "category": {"type": ["string", "null"]},
        "properties": free, "traits": free, "context": free, "consent": maybe(ref("Consent")),
    }  # fmt: skip
    needs: dict[str, dict[str, Schema]] = {
        "Track": {"event": {"type": "string", "minLength": 1}}, "Identify": {}, "Page": {}, "Screen": {},
        "Group": {"groupId": {"type": ["string", "number"]}}, "Alias": {"previousId": {"type": ["string", "number"]}},
    }  # fmt: skip
    found = {one: fields([*more], **shared, **more) for one, more in needs.items()}
    typed = [
        fields(["type", *more], type={"const": one.lower()}, **shared, **more) for one, more in needs.items()
    ]
    batch = fields(
        ["batch"], batch=many(ref("Call"), maxItems=MAX_BATCH), sentAt=maybe(ref("Time")), context=free
    )
    return found | {"Call": {"oneOf": typed}, "Batch": batch}


def _events() -> dict[str, Schema]:
    verdict = fields(
        ["index", "accepted"],
        index=WHOLE,
        messageId={"type": ["string", "null"]},
        accepted=FLAG,
        code=TEXT,
        message=TEXT,
        field=TEXT,
    )
    short: Schema = {"type": ["string", "null"], "maxLength": LONGEST_ID}
    about = dict.fromkeys(("item", "section", "post", "topic", "query", "account"), short)
    counter = closed(["view", "started_at"], view=TEXT, started_at=WHOLE, epoch=WHOLE)
    event: dict[str, Schema] = {
        "id": short, "source": short, "op": {"enum": [*get_args(Op)]}, "at": maybe(ref("Time")), "sent_at": maybe(ref("Time")),
        "who": many(ref("Identifier"), maxItems=MAX_WHO), "about": closed([], **about, url={"type": ["string", "null"], "maxLength": 2_048}),
        "value": {"type": ["number", "null"]}, "counter": maybe(counter), "name": short, "decision": short, "consent": maybe(ref("Consent")),
        "traits": {"type": ["object", "null"]}, "context": ANY, "properties": ANY, "record": short,
    }  # fmt: skip
    return {
        "Event": closed(["signal"], signal={"enum": [*Signal]}, **event),
        "Events": {
            "anyOf": [
                fields(["events"], events=many(ref("Event"), maxItems=MAX_BATCH), sent_at=maybe(ref("Time"))),
                many(ref("Event"), maxItems=MAX_BATCH), ref("Event"),
            ]
        },
        "Accepted": fields(
            ["success", "accepted"], success=FLAG, accepted=WHOLE, refused=many(ref("Refusal")), verdicts=many(verdict),
        ),
        "Refusal": fields(["index", "code", "message"], index=WHOLE, code=TEXT, message=TEXT, field=TEXT),
    }  # fmt: skip


def _catalog() -> dict[str, Schema]:
    link: Schema = {
        "type": "string", "pattern": "^(https?://|/|$)", "maxLength": checks.MAX_URL, "description": "http://, https:// or a path.",
    }  # fmt: skip
    word = {"type": "string", "maxLength": checks.MAX_NAME}
    attribute = {
        "anyOf": [TEXT, NUMBER, FLAG, many({"type": ["string", "number"]}, maxItems=checks.MAX_LIST)]
    }
    tie = closed(
        ["to"],
        to={"type": "string", "pattern": "^(item|topic):."},
        confidence={"type": "number", "minimum": 0, "maximum": 1},
        how=TEXT,
    )
    said = {
        "type": "object",
        "propertyNames": {"pattern": "^(item|topic):."},
        "additionalProperties": FLAG,
        "maxProperties": checks.MAX_FOR,
    }
    title: Schema = {"type": "string", "maxLength": checks.MAX_TITLE}
    item: dict[str, Schema] = {
        "kind": word | {"examples": ["product", "article", "post", "promotion"]}, "title": title, "topics": many(word, maxItems=checks.MAX_TOPICS),
        "price": {"type": "number", "minimum": 0}, "available": FLAG, "url": link, "image": link,
        "sections": many(word, maxItems=checks.MAX_SECTIONS),
        "attributes": {"type": "object", "additionalProperties": maybe(attribute), "maxProperties": checks.MAX_ATTRIBUTES},
        "published": ref("Time"), "for": many(TEXT, maxItems=checks.MAX_FOR), "starts": ref("Time"), "ends": ref("Time"),
        "cap": {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "audience": ref("AudienceId"),
        "ties": many(tie, maxItems=checks.MAX_TIES), "confirmed": said,
    }  # fmt: skip
    placement: dict[str, Schema] = {
        "title": title, "n": {"type": "integer", "minimum": 1, "maximum": MAX_SHOWN}, "kinds": many(word, maxItems=checks.MAX_KINDS),
        "where": ref("Condition"), "public": FLAG, "related": FLAG, "bought": FLAG,
        "explore": {"type": "integer", "minimum": 0, "maximum": MAX_SHOWN}, "audience": ref("AudienceId"),
    }  # fmt: skip
    named = {"Item": (item, "Id"), "Placement": (placement, "PlacementId")}
    audience: dict[str, Schema] = {"title": title, "where": ref("Condition")}
    tied: dict[str, Schema] = {
        "post": TEXT, "confirmed": {"type": "object", "additionalProperties": FLAG},
        "ties": many(fields(["to", "confidence", "how"], to=TEXT, confidence=NUMBER, how=TEXT)),
    }  # fmt: skip
    count = fields(["source", "signal", "value", "at"], source=TEXT, signal=TEXT, value=NUMBER, at=WHOLE)
    return {
        **{one: closed(["id"], id=ref(id), **_maybe(more)) for one, (more, id) in named.items()},
        **{f"{one}Body": closed([], id=maybe(ref(id)), **_maybe(more)) for one, (more, id) in named.items()},
        "AudienceBody": closed(["where"], id=maybe(ref("AudienceId")), title=maybe(title), where=ref("Condition")),
        "Audience": fields(["id", "where"], id=ref("AudienceId"), **audience, promotions=many(TEXT), placements=many(TEXT)),
        "Items": closed([], items=many(ref("Item"), maxItems=checks.MAX_ITEMS), delete=many(ref("Id"), maxItems=checks.MAX_ITEMS)),
        "Placements": closed(["placements"], placements=many(ref("Placement"), maxItems=checks.MAX_ITEMS)),
        "Confirmed": closed(["ties"], ties=said),
        "Ties": fields(["post", "ties", "confirmed"], **tied),
        "Post": fields(["post", "counts"], **tied, title=TEXT, url=TEXT, published=WHOLE, counts=many(count)),
    }  # fmt: skip


def _maybe(properties: dict[str, Schema]) -> dict[str, Schema]:
    return {name: maybe(schema) for name, schema in properties.items()}


def _questions() -> dict[str, Schema]:
    asked = closed(
        ["id"], id=ref("PlacementId"), n={"type": ["integer", "null"], "minimum": 1, "maximum": MAX_SHOWN}, where=maybe(ref("Condition")),
        exclude=many(TEXT, maxItems=MAX_EXCLUDED), item={"type": ["string", "null"]},
    )  # fmt: skip
    chosen = fields(
        ["item"], item=TEXT, score=NUMBER, because=many(ref("Because")), details=ANY, audience=TEXT
    )
    shown = fields(["arm", "items"], arm={"enum": ["combined", "popular"]}, items=many(chosen))
    return {
        "Question": closed(
            ["placements"],
            identifiers=many(ref("Identifier"), maxItems=MAX_WHO),
            placements=many(asked, minItems=1, maxItems=MAX_PLACEMENTS),
            page=fields([], url={"type": ["string", "null"]}, item={"type": ["string", "null"]}), context=ANY,
            events={"anyOf": [many(ref("Event"), maxItems=MAX_BATCH), {"type": "null"}]},
            exclude=many(TEXT, maxItems=MAX_EXCLUDED), explain=FLAG, details=FLAG,
            token={"type": ["string", "null"], "description": "With the write key, for a known person."},
        ),
        "Decision": fields(
            ["decision", "placements", "took_ms"], decision=TEXT, took_ms=NUMBER, degraded=FLAG, refused=many(ref("Refusal")),
            placements={"type": "object", "additionalProperties": shown},
        ),
        "Because": fields(
            ["source", "signal", "contribution", "share"], source=TEXT, signal=TEXT, about=TEXT, contribution=NUMBER, share=NUMBER,
        ),
    }  # fmt: skip


def _people() -> dict[str, Schema]:
    pair = many(ref("Identifier"), minItems=2, maxItems=2, uniqueItems=True)
    because = fields(
        ["source", "signal", "weight", "share"],
        source=TEXT,
        signal=TEXT,
        about=TEXT,
        weight=NUMBER,
        share=NUMBER,
    )
    return {
        "Link": closed(
            ["identifiers"], identifiers=pair, consent=maybe(FLAG), proof={"enum": ["statement", "sign_in", None]}
        ),
        "Unlink": closed(["identifiers"], identifiers=pair, consent=maybe(FLAG)),
        "Proof": closed(
            ["identifier", "way", "consent"], identifier=ref("Identifier"), way={"enum": ["code", "rel_me", "sign_in"]},
            consent={"anyOf": [{"const": True}, closed(["link"], link={"const": True}, social={"type": "boolean"})]},
            account=ref("Identifier"),
            **dict.fromkeys(("network", "url", "page", "host", "handle", "directory", "callback", "back", "proof"), TEXT),
        ),
        "Interest": fields(["weight", "because"], item=TEXT, topic=TEXT, weight=NUMBER, because=many(because)),
        "Profile": fields(
            ["identifiers", "counts", "interests", "traits", "devices"],
            identifiers=many(ref("Identifier")), counts={"type": "object", "additionalProperties": WHOLE},
            interests=many(ref("Interest")), follows=many(ANY), traits=ANY, devices=many(ANY), links=many(ANY), audiences=many(TEXT),
            consents={"type": "object", "additionalProperties": FLAG}, events=many(ANY),
            first_at=WHOLE, last_at=WHOLE, bots=WHOLE,
        ),
    }  # fmt: skip


def _sources() -> dict[str, Schema]:
    given = {"type": "object", "additionalProperties": TEXT}
    return {
        "Source": {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER, "examples": ["bluesky:shop.example"]},
        "SourceBody": closed([], network=TEXT, host=TEXT, credentials=given, back=TEXT, state=TEXT, answered=given),
        "SourcePage": closed(
            [], events=many(ref("Event"), maxItems=MAX_BATCH), lane={"enum": [*get_args(Lane)]}, done=FLAG,
            cursor={"type": ["string", "null"], "maxLength": LONGEST_CURSOR}, gap={"type": ["string", "null"], "maxLength": LONGEST_GAP},
            gone=many(ref("Identifier"), maxItems=MOST_GONE), proofs=many(many(TEXT, minItems=2, maxItems=2)),
        ),
    }  # fmt: skip

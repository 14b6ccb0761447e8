"""The OpenAPI document tells what there is: every route, and shapes that fit what clients and our own pages send."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from starlette.routing import Route

from plait.http import audiences, items, operate, people, proofs, sources
from plait.http.collect import ROUTES
from plait.http.openapi import document

ROOT = Path(__file__).parents[2]
CALLS = json.loads((ROOT / "tests" / "data" / "calls" / "clients.json").read_text())
ADDRESS = re.compile(r"http://127\.0\.0\.1:8080(/[^\s?]*)")
# Spellings of other vendors for what is told under its own name, and where customers come back to with a browser.
OTHERS = ("/api/s/", "/beacon/", "/v1/proofs/callback")


def fits(schema: dict[str, Any], value: Any) -> str | None:
    """What is wrong with a value, ``None`` when it fits."""
    whole = {"components": document()["components"], "allOf": [schema]}
    return next((str(error) for error in jsonschema_rs.validator_for(whole).iter_errors(value)), None)


def body_of(path: str, method: str) -> dict[str, Any]:
    """The shape of what a route takes; ``path`` as it is asked for."""
    for template, operations in document()["paths"].items():
        pattern = "/".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/")
        )
        if re.fullmatch(pattern, path) and method in operations:
            found: dict[str, Any] = operations[method]["requestBody"]["content"]["application/json"]["schema"]
            return found
    raise AssertionError(f"{method} {path} is not in the document")


@pytest.mark.parametrize(
    "call", [one for one in CALLS if one["path"].startswith("/v1/")], ids=lambda one: one["client"]
)
def test_what_clients_send_is_as_it_says(call):
    assert fits(body_of(call["path"].partition("?")[0], "post"), call["body"]) is None


def sent_in_the_documentation() -> list[Any]:
    """Every JSON body that a page sends with curl."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for command in re.findall(
            r"^curl [^`]*?(?=^curl |^```|^sleep |^plait |^\w+=|^#)", page.read_text(), re.M | re.S
        ):
            words = shlex.split(command)
            address = next((one for one in map(ADDRESS.match, words) if one), None)
            if address and "-d" in words:
                method = words[words.index("-X") + 1].lower() if "-X" in words else "post"
                body = words[words.index("-d") + 1]
                found.append(pytest.param(address[1], method, body, id=f"{page.stem}-{len(found)}"))
    return found


@pytest.mark.parametrize(("path", "method", "body"), sent_in_the_documentation())
def test_what_the_documentation_sends_is_as_it_says(path, method, body):
    if re.match(r"/v1/items$", path) and "much" in body:
        pytest.skip("the page shows what is wrong with it")

    assert fits(body_of(path, method), json.loads(body)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Question", {"placements": []}),
        ("Question", {"placements": [{"id": "home.grid", "n": 101}]}),
        ("Question", {"placements": [{"id": "home.grid"}], "plese": 1}),
        ("Item", {"title": "without an id"}),
        ("Item", {"id": "a", "price": -1}),
        ("Item", {"id": "a", "url": "javascript:alert(1)"}),
        ("Event", {"who": ["user:a"]}),
        ("Event", {"signal": "stare", "who": ["user:a"]}),
        ("Identifier", "ann"),
        ("Link", {"identifiers": ["user:a"]}),
    ],
)
def test_what_is_refused_does_not_fit(name, value):
    assert fits({"$ref": f"#/components/schemas/{name}"}, value) is not None


def test_it_names_every_route_and_no_other():
    routes: dict[str, set[str]] = {path: {"post"} for path in ROUTES if not path.startswith(OTHERS)}
    routes["/v1/personalize"], routes["/v1/placements/{id}/items"] = {"post"}, {"get"}
    for part in (operate, people, items, audiences, sources, proofs):
        for one in part.routes:
            assert isinstance(one, Route)
            if not one.path.startswith(OTHERS):
                path = one.path.replace(":path}", "}")
                routes.setdefault(path, set()).update(
                    method.lower() for method in one.methods or () if method != "HEAD"
                )

    told = {path: set(found) - {"parameters"} for path, found in document()["paths"].items()}

    assert told == routes

"""What a post is about, and what networks count of it without saying who."""

import pytest

POST = "at://did:plc:shop/app.bsky.feed.post/1"
PATH = "/v1/posts/at%3A%2F%2Fdid%3Aplc%3Ashop%2Fapp.bsky.feed.post%2F1"
AT = 1_780_000_000_000


def counted(id, value, at=AT, post=POST, signal="like"):
    return {
        "id": id, "source": "instagram:shop", "signal": signal, "op": "snapshot", "about": {"post": post},
        "value": value, "at": at,
    }  # fmt: skip


def tell(server, *events):
    assert server.ask("POST", "/v1/events", {"events": list(events)}).status_code == 200


def counts(server, path=PATH):
    told = server.ask("GET", path).json().get("counts", [])
    return [(one["source"], one["signal"], one["value"], one["at"]) for one in told]


def test_a_post_tells_its_ties_and_the_newest_count(server):
    post = {"id": POST, "kind": "post", "title": "Three nights out", "for": ["p-tent"], "published": AT}
    server.ask("POST", "/v1/items", {"items": [{"id": "p-tent"}, post]})

    tell(server, counted("n2", 77, AT + 2), counted("n1", 12, AT + 1), counted("s1", 3, signal="share"))

    server.eventually(lambda: len(counts(server)) == 2)
    assert server.ask("GET", PATH).json() == {
        "post": POST, "title": "Three nights out", "published": AT,
        "ties": [{"to": "p-tent", "confidence": 1.0, "how": "told"}], "confirmed": {},
        "counts": [
            {"source": "instagram:shop", "signal": "like", "value": 77.0, "at": AT + 2},
            {"source": "instagram:shop", "signal": "share", "value": 3.0, "at": AT},
        ],
    }  # fmt: skip


def test_a_count_makes_nobody_up(server):
    tell(server, counted("m1", 5_000, post="counted-only"))

    server.eventually(lambda: server.ask("GET", "/v1/posts/counted-only").status_code == 200)
    assert server.ask("GET", "/v1/posts/counted-only").json() == {
        "post": "counted-only",
        "counts": [{"source": "instagram:shop", "signal": "like", "value": 5_000.0, "at": AT}],
    }


@pytest.mark.parametrize("path", ["/v1/posts/none-such", "/v1/posts/p-plain"])
def test_what_is_no_post_is_not_there(server, path):
    server.ask("POST", "/v1/items", {"items": [{"id": "p-plain"}]})

    told = server.ask("GET", path)

    assert (told.status_code, told.json()["code"]) == (404, "unknown_post")


def test_counts_are_for_the_secret_key(server):
    told = server.ask("GET", PATH, key=server.write)

    assert (told.status_code, told.json()["code"]) == (403, "forbidden")

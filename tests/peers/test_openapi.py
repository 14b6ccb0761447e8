"""The API does what its OpenAPI document says; schemathesis asks it everything it can think of."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.peers.narrow import narrowed

# Not tried: fitting takes seconds each time, the stream has no end, and who connects an account or proves that one is theirs
# is asked by a network.
LEFT_OUT = ("/v1/fit", "/v1/live", "/v1/sources", "/v1/proofs")
# Collect takes what clients really send, such as null and numbers for ids, and judges call by call: a wrong one is told
# and costs no other. So do pages of sources. The catalog trims ids and takes dates in two forms. So a request that is not quite as the document
# says may be answered 200 there.
LENIENT = "^/v1/([a-z]|track|identify|page|screen|group|alias|batch|import|events|personalize|(items|placements|audiences).*|sources/.*/pages)$"


@pytest.mark.peers
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param(["--exclude-path-regex", LENIENT], id="strictly"),
        pytest.param(
            ["--include-path-regex", LENIENT, "--exclude-checks", "negative_data_rejection"], id="leniently"
        ),
    ],
)
def test_the_api_keeps_to_its_document(server, tmp_path, more):
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(narrowed(server.ask("GET", "/openapi.json", key=None).json())))
    asked = [
        sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", server.url, "--header", f"Authorization: Bearer {server.secret}", "--seed", "7", "--max-examples", "25",
        "--request-timeout", "20", "--no-color", "--generation-allow-x00", "false",
        "--suppress-health-check", "filter_too_much", *more,
    ]  # fmt: skip
    for path in LEFT_OUT if "--exclude-path-regex" in more else ():
        asked += ["--exclude-path", path]

    told = subprocess.run(asked, capture_output=True, text=True, timeout=850, cwd=tmp_path)

    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-2_000:]

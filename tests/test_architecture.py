"""The contract against circles can fail: it sees the ones that lazy imports hide."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
[CONTRACT] = [c for c in SETTINGS["contracts"] if c["id"] == "acyclic"]
FLAT = {"up.py": "from expci.down import low\n", "down.py": "low = 1\n"}
LAZY = "def low() -> object:\n    from expci.up import high\n    return high\n"


def checked(directory: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """import-linter with our contract, on a package `expci` that consists of `files`."""
    for name, text in {"__init__.py": "", **files}.items():
        path = directory / "expci" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    keys = "".join(f"{key} = {value!r}\n" for key, value in CONTRACT.items())
    configuration = "[tool.importlinter]\nroot_package = 'expci'\n[[tool.importlinter.contracts]]\n"
    (directory / "pyproject.toml").write_text(configuration + keys)
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=directory,
        env={"PYTHONPATH": str(directory), "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_our_contract_holds_for_every_package() -> None:
    assert CONTRACT["type"] == "acyclic_siblings"
    assert CONTRACT["ancestors"] == ["expci"]
    assert CONTRACT.keys() == {"id", "name", "type", "ancestors"}, "no exception is made"


def test_arrows_that_point_one_way_pass(tmp_path: Path) -> None:
    done = checked(tmp_path, FLAT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "files",
    [
        {**FLAT, "down.py": LAZY},
        {
            "room/__init__.py": "",
            "room/up.py": "from expci.room import down\n",
            "room/down.py": LAZY.replace("expci.up", "expci.room.up"),
        },
        {
            "first/__init__.py": "",
            "first/a.py": "from expci.second import b\n",
            "first/c.py": "",
            "second/__init__.py": "",
            "second/b.py": "def later() -> None:\n    import expci.first.c\n",
        },
    ],
    ids=["modules", "modules of a package below", "packages, though no module is in a circle"],
)
def test_a_circle_that_a_lazy_import_hides_is_reported(
    tmp_path: Path, files: dict[str, str]
) -> None:
    done = checked(tmp_path, files)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{CONTRACT['name']} BROKEN" in done.stdout

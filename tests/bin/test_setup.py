"""`bin/setup.py`: what it makes anew, what it keeps, and what it says when a tool fails. No network here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, its paths below a clone of its own."""
    spec = importlib.util.spec_from_file_location("bin_setup", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    clone = tmp_path / "clone"
    clone.mkdir()
    module.ROOT, module.VENV, module.CACHE = clone, clone / ".venv", clone / ".cache"
    module.STAMP, module.BUILDING = module.VENV / ".codex-oss-ready", module.CACHE / "venv-building"
    monkeypatch.setattr(sys, "argv", ["setup.py", "run", f"1 2 {clone}"])
    return module


class Tools:
    """Stands for pip and uv: notes what is run, makes the folder that venv would, fails where told."""

    def __init__(self, setup: Any, failing: str = "") -> None:
        self.setup, self.failing = setup, failing
        self.ran: list[str] = []

    def __call__(self, what: str, command: list[str]) -> None:
        self.ran.append(what)
        if what == self.failing:
            raise self.setup.SetupFailed(f"{what} failed with status 1:\nno network")
        if what == "making .venv":
            (self.setup.VENV / "bin").mkdir(parents=True, exist_ok=True)
            (self.setup.VENV / "bin" / "python").symlink_to(sys.executable)


def install(setup: Any, monkeypatch: pytest.MonkeyPatch, failing: str = "") -> Tools:
    """Put the stand-in in place; a `.venv` has a pip as soon as it exists."""
    tools = Tools(setup, failing)
    monkeypatch.setattr(setup, "run", tools)
    monkeypatch.setattr(setup, "has_pip", lambda: setup.VENV.exists())
    return tools


def test_from_nothing_to_ready(setup: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All steps in order, the stamp last, one line when it begins and one when it is ready; then nothing again."""
    tools = install(setup, monkeypatch)
    assert setup.main() == 0
    assert tools.ran == ["making .venv", "installing uv", "uv sync"]
    assert setup.STAMP.read_text() == f"1 2 {setup.ROOT}\nrun\n"
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert setup.main() == 0
    assert len(tools.ran) == 3


def test_an_attempt_that_died_is_begun_anew(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-made environment is thrown away, whatever is in it."""
    tools = install(setup, monkeypatch)
    (setup.VENV / "half").mkdir(parents=True)
    setup.CACHE.mkdir()
    setup.BUILDING.touch()
    assert setup.main() == 0
    assert tools.ran[0] == "making .venv"
    assert not (setup.VENV / "half").exists()
    assert not setup.BUILDING.exists()


def test_a_new_lock_keeps_the_environment_and_the_development_tools(
    setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the packages are brought up to date, and a dev environment stays one."""
    tools = install(setup, monkeypatch)
    tools("making .venv", [])
    setup.STAMP.write_text(f"0 0 {setup.ROOT}\ndev\n")
    setup.CACHE.mkdir()
    assert setup.main() == 0
    assert tools.ran[1:] == ["installing uv", "uv sync"]
    assert setup.STAMP.read_text().endswith("\ndev\n")


def test_a_moved_clone_gets_a_new_environment(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the old one name paths that are gone."""
    tools = install(setup, monkeypatch)
    tools("making .venv", [])
    (setup.VENV / "old").mkdir()
    setup.STAMP.write_text("1 2 /somewhere/else\nrun\n")
    assert setup.main() == 0
    assert not (setup.VENV / "old").exists()


@pytest.mark.parametrize(
    ("failing", "status", "after"),
    [
        ("installing uv", 1, []),
        ("uv sync", 0, ["uv export", "pip install", "pip install (this clone)"]),
        ("making .venv", 1, []),
    ],
)
def test_a_tool_that_fails(
    failing: str,
    status: int,
    after: list[str],
    setup: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """When uv cannot sync, pip installs the same files; any other failure is told and leaves no stamp."""
    tools = install(setup, monkeypatch, failing)
    assert setup.main() == status
    assert tools.ran[tools.ran.index(failing) + 1 :] == after
    assert setup.STAMP.exists() is (status == 0)
    if status:
        assert f"error: {failing} failed with status 1:\nno network\nhint: " in capsys.readouterr().err


def test_a_second_run_waits_for_the_first(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the lock nothing is touched; then its work is found and not done again."""
    tools = install(setup, monkeypatch)
    setup.CACHE.mkdir()
    program = (
        "import fcntl, pathlib, sys\n"
        f"lock = open({str(setup.CACHE / 'setup.lock')!r}, 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.readline()\n"
        f"stamp = pathlib.Path({str(setup.STAMP)!r})\nstamp.parent.mkdir(parents=True)\n"
        f"stamp.write_text('1 2 {setup.ROOT}\\nrun\\n')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.stdin.write(b"go on\n")
        other.stdin.close()
        assert setup.main() == 0
    assert tools.ran == []


@pytest.mark.parametrize("home", ["", "/nonexistent"])
def test_without_a_usable_home_the_caches_lie_in_the_clone(
    home: str, setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tools never fail for want of a home; with one, their own caches are left where they are."""
    for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    assert setup.environment()["UV_CACHE_DIR"] == str(setup.CACHE / "uv")
    monkeypatch.setenv("HOME", str(setup.ROOT))
    assert "UV_CACHE_DIR" not in setup.environment()

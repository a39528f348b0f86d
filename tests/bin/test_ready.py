"""`bin/codex-oss` on a machine: which Python it takes, what it says without one, and that a ready clone starts none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("sh", "cat", "cksum", "dirname", "readlink")
"""All that the scripts use of the system before a Python is found."""

Clone = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH of its own, without any Python."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The scripts and the files they digest, in a folder with a blank in its name."""
    folder = tmp_path / "my clone"
    shutil.copytree(ROOT / "bin", folder / "bin", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("uv.lock", "pyproject.toml"):
        (folder / name).write_text(name)
    return folder


def write_program(path: Path, script: str) -> None:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def start(script: Path, programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with only these programs, no HOME, and the root folder as current one."""
    return subprocess.run(
        [str(script), *arguments],
        env={"PATH": str(programs)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def make_ready(clone: Path, profile: str = "run") -> None:
    """What bin/setup.py leaves: an environment, and the stamp written last."""
    digest = subprocess.run(
        "cat uv.lock pyproject.toml bin/setup.py | cksum",
        shell=True,
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    write_program(clone / ".venv/bin/codex-oss", 'echo "cli: $*"')
    write_program(clone / ".venv/bin/python", "exit 9")
    (clone / ".venv/.codex-oss-ready").write_text(f"{digest} {os.path.realpath(clone)}\n{profile}\n")


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("", "no python3 was found on PATH"),
        ("exit 1", "python3 is older"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "cannot make a virtual environment"),
    ],
)
def test_without_a_suitable_python_one_sentence_and_a_hint(python: str, told: str, clone: Path, programs: Path) -> None:
    """None, an old one, or one without venv: said in a sentence, with what to do, and status 1."""
    if python:
        write_program(programs / "python3", python)
    done = start(clone / "bin/codex-oss", programs, "--help")
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count("\n") == 2
    assert "\nhint: " in done.stderr


def test_the_first_python_that_will_do_is_taken(clone: Path, programs: Path) -> None:
    """An old python3 is passed over for a newer one beside it."""
    write_program(programs / "python3", "exit 1")
    write_program(programs / "python3.12", 'case "$1" in -c) exit 0;; *) echo "set up with $*"; exit 7;; esac')
    done = start(clone / "bin/codex-oss", programs)
    assert done.returncode == 1
    assert "bin/setup.py run" in done.stdout


@pytest.mark.parametrize("profile", ["run", "dev"])
def test_a_ready_clone_becomes_the_cli_at_once(profile: str, clone: Path, programs: Path) -> None:
    """With a fitting stamp no Python is looked for; arguments arrive as they are, also through a link to the script."""
    make_ready(clone, profile)
    link = clone.parent / "link"
    link.symlink_to(clone / "bin/codex-oss")
    for script in (clone / "bin/codex-oss", link):
        done = start(script, programs, "mission", "run", "a b")
        assert (done.returncode, done.stdout, done.stderr) == (0, "cli: mission run a b\n", "")


def change_lock(clone: Path) -> Path:
    """A new uv.lock."""
    (clone / "uv.lock").write_text("changed")
    return clone


def move(clone: Path) -> Path:
    """The clone under another name: its programs name paths that are gone."""
    return clone.rename(clone.with_name("moved"))


def lose_python(clone: Path) -> Path:
    """The interpreter behind the environment was removed from the system."""
    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to("/nonexistent/python3")
    return clone


def tear_stamp(clone: Path) -> Path:
    """A stamp that ends in its first line."""
    stamp = clone / ".venv/.codex-oss-ready"
    stamp.write_text(stamp.read_text().partition("\n")[0])
    return clone


@pytest.mark.parametrize("change", [change_lock, move, lose_python, tear_stamp])
def test_an_environment_that_does_not_fit_is_set_up_again(
    change: Callable[[Path], Path], clone: Path, programs: Path
) -> None:
    """A new lock, a moved clone, a vanished interpreter or a torn stamp lead to bin/setup.py."""
    make_ready(clone)
    write_program(programs / "python3", 'case "$1" in -c) exit 0;; *) echo "set up"; exit 7;; esac')
    done = start(change(clone) / "bin/codex-oss", programs)
    assert (done.returncode, done.stdout) == (1, "set up\n")


def test_the_tests_want_the_development_tools(clone: Path, programs: Path) -> None:
    """An environment for running only is not enough for bin/test."""
    make_ready(clone, "run")
    write_program(programs / "python3", 'case "$1" in -c) exit 0;; *) echo "set up $2"; exit 7;; esac')
    done = start(clone / "bin/test", programs, "FAST")
    assert (done.returncode, done.stdout) == (1, "set up dev\n")

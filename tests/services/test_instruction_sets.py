"""Where sets come from: shipped ones with their hashes, the user's own, and never a project's."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_oss.errors import ConfigInvalid
from codex_oss.services import instruction_sets
from codex_oss.services.instruction_sets import all_sets, manifest, read_set, read_sets, shipped_problem


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the user's personalities."""
    folder = tmp_path / ".config" / "codex-oss" / "personalities"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with a home."""
    return {"HOME": str(tmp_path)}


def test_what_is_shipped_is_whole(environ: dict[str, str]) -> None:
    """Every text has the hash of the manifest, and can be named."""
    assert {"friendly", "pragmatic", "plan", "orchestrator", "ultra"} == set(manifest())
    assert [shipped_problem(name) for name in manifest()] == [""] * 5
    assert [one.name for one in read_sets(list(manifest()), environ)] == list(manifest())


def test_a_changed_text_is_refused(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One letter is enough; the message names the set."""
    real = instruction_sets._shipped()
    for name in ("manifest.toml", "plan.md"):
        (tmp_path / name).write_text(real.joinpath(name).read_text() + (" " if name == "plan.md" else ""))
    monkeypatch.setattr(instruction_sets, "_shipped", lambda: tmp_path)
    assert shipped_problem("plan") == "its text was changed"
    assert shipped_problem("ultra") == "its text is missing"
    with pytest.raises(ConfigInvalid, match="'plan' cannot be used"):
        read_set("plan", environ)


def test_the_users_own_wins(own: Path, environ: dict[str, str]) -> None:
    """By its key without case; an empty file counts as missing, a link is not followed."""
    (own / "Pragmatic.md").write_text("Mine.\n")
    (own / "friendly.md").write_text("  \n")
    (own / "plan.md").symlink_to(own / "Pragmatic.md")
    assert read_set("PRAGMATIC", environ).text == "Mine.\n"
    assert read_set("friendly", environ).source == "codex-oss"
    assert read_set("plan", environ).source == "codex-oss"
    assert [one.source for one in all_sets(environ) if one.name == "pragmatic"] == [str(own / "Pragmatic.md")]


@pytest.mark.parametrize("name", ["../secrets", "a/b", "a\\b", "", ".", "..", "a b", "x" * 65, "nobody"])
def test_what_is_no_set_is_refused(name: str, environ: dict[str, str]) -> None:
    """A name that could leave the folder is none."""
    with pytest.raises(ConfigInvalid):
        read_set(name, environ)


def test_none_is_nothing(environ: dict[str, str]) -> None:
    """`none` switches off what a weaker source switched on."""
    assert read_sets(["none"], environ) == ()

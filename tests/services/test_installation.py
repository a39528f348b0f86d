"""Editing files of other programs so that it can be taken back: twice, after edits, after kills, through links."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import StoreError
from codex_oss.services.file_edits import Target, plan_changes, render_diff
from codex_oss.services.installation import Installation, Outcome
from codex_oss.services.marked_block import EditRefused, Markers, put_block, strip_block

MARKS = Markers("# s", "# e")
STRIPS = {"block": lambda text: strip_block(text, MARKS), "owned": lambda text: None}


class Killed(BaseException):
    """Stands for a kill between two writes."""


def block(path: Path, anchor: Path, body: str = "ours\n") -> Target:
    """A target that gets a block."""
    return Target(path, anchor, "block", (lambda text: put_block(text or "", body, MARKS),))


def owned(path: Path, anchor: Path) -> Target:
    """A target that is ours alone."""
    return Target(path, anchor, "owned", (lambda text: "whole\n",))


def targets(project: Path, body: str = "ours\n") -> list[Target]:
    """Two files: one that may exist, one of ours in new folders."""
    return [block(project / "notes.txt", project, body), owned(project / ".tool" / "deep" / "x.toml", project)]


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Mode and bytes of everything below a folder."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.lstat().st_mode),
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


def install(project: Path, body: str = "ours\n") -> Installation:
    """Plan and apply."""
    installation = Installation(project / ".state" / "install", project)
    installation.apply(plan_changes(targets(project, body)))
    return installation


def endings(outcomes: list[Outcome]) -> dict[str, str]:
    """File name to what happened."""
    return {one.path.name: one.ending for one in outcomes}


@given(st.none() | st.text(alphabet=st.characters(codec="utf-8"), max_size=40), st.sampled_from([0o600, 0o644, 0o755]))
def test_out_again_gives_the_same_bytes(text: str | None, mode: int) -> None:
    """Install, install once more with other words, uninstall: bytes, modes and folders are those of before."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        if text is not None:
            (project / "notes.txt").write_bytes(text.replace("# s", "").replace("# e", "").encode())
            (project / "notes.txt").chmod(mode)
        before = snapshot(project)
        install(project)
        once = snapshot(project)
        install(project)
        assert snapshot(project) == once
        installation = install(project, "other words\n")
        assert installation.restore(STRIPS) != []
        assert snapshot(project) == before
        assert installation.restore(STRIPS) == []


def test_state_is_private(tmp_path: Path) -> None:
    """Manifest and backups are for the user's eyes only."""
    (tmp_path / "notes.txt").write_text("x\n")
    folder = install(tmp_path).folder
    assert all(mode == (0o700 if data is None else 0o600) for mode, data in snapshot(folder.parent).values())


@pytest.mark.parametrize("killed_at", [0, 1])
def test_a_kill_between_two_files_can_be_taken_back(tmp_path: Path, killed_at: int) -> None:
    """The manifest comes first: whatever was written by then is restored, and a new install completes the rest."""
    (tmp_path / "notes.txt").write_text("mine\n")
    before = snapshot(tmp_path)
    written: list[Path] = []

    def kill(path: Path) -> None:
        if len(written) == killed_at:
            raise Killed
        written.append(path)

    installation = Installation(tmp_path / ".state" / "install", tmp_path, on_write=kill)
    with pytest.raises(Killed):
        installation.apply(plan_changes(targets(tmp_path)))
    assert (installation.folder / "manifest.json").is_file()
    install(tmp_path)
    assert (tmp_path / ".tool/deep/x.toml").read_text() == "whole\n"
    install(tmp_path).restore(STRIPS)
    assert snapshot(tmp_path) == before
    written.clear()
    with pytest.raises(Killed):
        installation.apply(plan_changes(targets(tmp_path)))
    installation.restore(STRIPS)
    assert snapshot(tmp_path) == before


def test_a_file_edited_since_loses_only_our_part(tmp_path: Path) -> None:
    """What the user wrote after install stays; a file of ours that he edited is his now."""
    (tmp_path / "notes.txt").write_text("mine\n")
    installation = install(tmp_path)
    with (tmp_path / "notes.txt").open("a") as file:
        file.write("later\n")
    (tmp_path / ".tool/deep/x.toml").write_text("edited\n")
    assert endings(installation.restore(STRIPS, dry_run=True)) == {"notes.txt": "stripped", "x.toml": "kept"}
    assert "ours" in (tmp_path / "notes.txt").read_text()
    assert endings(installation.restore(STRIPS)) == {"notes.txt": "stripped", "x.toml": "kept"}
    assert (tmp_path / "notes.txt").read_text() == "mine\nlater\n"
    assert (tmp_path / ".tool/deep/x.toml").read_text() == "edited\n"
    assert not installation.folder.exists()


def test_install_after_an_edit_keeps_the_edit(tmp_path: Path) -> None:
    """A second install takes the edited file as what was there before."""
    install(tmp_path)
    edited = (tmp_path / "notes.txt").read_text() + "later\n"
    (tmp_path / "notes.txt").write_text(edited)
    install(tmp_path, "other\n").restore(STRIPS)
    assert "later\n" in (tmp_path / "notes.txt").read_text()


def test_what_cannot_be_told_apart_keeps_its_backup(tmp_path: Path) -> None:
    """A torn marker leaves the file, its entry and its backup; repaired, uninstall finishes."""
    (tmp_path / "notes.txt").write_text("mine\n")
    installation = install(tmp_path)
    (tmp_path / "notes.txt").write_text("mine\n# s\nours\n")
    (outcome, _) = installation.restore(STRIPS)
    assert (outcome.ending, outcome.settled) == ("kept", False)
    assert len(list((installation.folder / "backup").iterdir())) == 1
    (tmp_path / "notes.txt").write_text("mine\n# s\nours\n# e\n")
    assert endings(installation.restore(STRIPS)) == {"notes.txt": "stripped"}
    assert not installation.folder.exists()


def test_links_are_refused(tmp_path: Path) -> None:
    """A linked file, a dangling one and a linked folder are left alone with a sentence; the rest is planned."""
    outside, project = tmp_path / "outside", tmp_path / "project"
    outside.mkdir()
    project.mkdir()
    (outside / "notes.txt").write_text("theirs\n")
    (project / "notes.txt").symlink_to(outside / "notes.txt")
    (project / "gone.txt").symlink_to(outside / "nothing")
    (project / ".tool").symlink_to(outside)
    plan = plan_changes([*targets(project), block(project / "gone.txt", project), block(project / "b.txt", project)])
    assert [path.name for path, _ in plan.refusals] == ["notes.txt", "x.toml", "gone.txt"]
    assert "symbolic link" in plan.refusals[0][1].message
    assert [change.target.path.name for change in plan.changes] == ["b.txt"]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (4 * 1024 * 1024 + 1)])
def test_odd_files_are_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no text, and a file that is no configuration, are left alone."""
    (tmp_path / "notes.txt").write_bytes(data)
    assert len(plan_changes(targets(tmp_path)).refusals) == 1


def test_files_and_folders_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    """A folder where the file belongs, and a file where its folder belongs, are named; the rest is planned."""
    (tmp_path / "notes.txt").mkdir()
    (tmp_path / ".tool").write_text("a file\n")
    plan = plan_changes([*targets(tmp_path), block(tmp_path / "b.txt", tmp_path)])
    messages = [refused.message for _, refused in plan.refusals]
    assert messages == [f"{tmp_path / 'notes.txt'} is no regular file.", f"{tmp_path / '.tool'} is no folder."]
    assert len(plan.changes) == 1


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    """A named pipe in place of the file is refused at once."""
    os.mkfifo(tmp_path / "notes.txt")
    assert len(plan_changes(targets(tmp_path)).refusals) == 1


def test_a_file_that_changed_meanwhile_stops_the_work(tmp_path: Path) -> None:
    """Nothing is overwritten unseen."""
    plan = plan_changes(targets(tmp_path))
    (tmp_path / "notes.txt").write_text("just now\n")
    with pytest.raises(StoreError, match="changed meanwhile"):
        Installation(tmp_path / ".state", tmp_path).apply(plan)
    assert (tmp_path / "notes.txt").read_text() == "just now\n"


def test_a_damaged_backup_is_not_given_back(tmp_path: Path) -> None:
    """A backup that is not what it was leaves the file as it is, and says so."""
    (tmp_path / "notes.txt").write_text("mine\n")
    installation = install(tmp_path)
    next((installation.folder / "backup").iterdir()).write_text("other\n")
    (outcome, _) = installation.restore(STRIPS)
    assert (outcome.ending, outcome.note) == ("kept", "its backup is gone or damaged")
    assert "ours" in (tmp_path / "notes.txt").read_text()


def test_a_broken_manifest_is_an_error(tmp_path: Path) -> None:
    """It is named, with where the backups lie."""
    installation = install(tmp_path)
    (installation.folder / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read") as broken:
        installation.restore(STRIPS)
    assert "backup" in broken.value.hint


def test_the_diff_hides_secrets(tmp_path: Path) -> None:
    """A key that is written does not reach the screen."""
    plan = plan_changes([block(tmp_path / "a.txt", tmp_path, "key = sk-synthetic\n")])
    shown = render_diff(plan, ["sk-synthetic"])
    assert "+key = ***" in shown
    assert shown.startswith("--- /dev/null\n")


def test_the_diff_is_safe_to_look_at(tmp_path: Path) -> None:
    """Escape sequences in a file that came with a project do not reach the terminal."""
    (tmp_path / "a.txt").write_text("\x1b[2Jgone\r\n\x9b31m\tred\n")
    shown = render_diff(plan_changes([block(tmp_path / "a.txt", tmp_path)]))
    assert "gone" in shown
    assert not {"\x1b", "\r", "\x9b"} & set(shown)


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    """What cannot be written as UTF-8 is left alone."""
    target = Target(tmp_path / "a.txt", tmp_path, "owned", (lambda text: "\ud800",))
    assert len(plan_changes([target]).refusals) == 1


def test_an_edit_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    """Two edits of one file: what the second leaves alone is named once, what the first wrote is planned."""

    def refuse(text: str | None) -> str:
        raise EditRefused("Not this.", hint="Do it by hand.")

    edits = (lambda text: "first\n", refuse, refuse, lambda text: f"{text}last\n")
    plan = plan_changes([Target(tmp_path / "a.txt", tmp_path, "owned", edits)])
    assert [change.after for change in plan.changes] == [b"first\nlast\n"]
    assert [(path.name, refused.message) for path, refused in plan.refusals] == [("a.txt", "Not this.")]


@pytest.mark.parametrize("name", ["/etc/hosts", "../outside.txt", "a/../../outside.txt", "", "."])
@pytest.mark.parametrize("place", ["entries", "folders"])
def test_a_manifest_that_came_with_the_project_is_not_believed(tmp_path: Path, name: str, place: str) -> None:
    """A cloned manifest that names a file outside of the project touches nothing at all."""
    project = tmp_path / "project"
    folder = project / ".state" / "install"
    folder.mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("known words\n")
    digest = hashlib.sha256(b"known words\n").hexdigest()
    entry = {"path": name, "kind": "owned", "before": None, "mode": 420, "written": [digest]}
    manifest = {"entries": [entry], "folders": []} if place == "entries" else {"entries": [], "folders": [name]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="outside of the project"):
        Installation(folder, project).restore(STRIPS)
    assert (tmp_path / "outside.txt").read_text() == "known words\n"


def test_a_folder_that_became_a_link_is_not_followed_on_the_way_out(tmp_path: Path) -> None:
    """Uninstall leaves a file alone that now lies behind a link, and what the link points to as well."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    installation = install(project)
    (project / ".tool").rename(outside)
    (project / ".tool").symlink_to(outside)
    assert endings(installation.restore(STRIPS)) == {"notes.txt": "removed", "x.toml": "kept"}
    assert (outside / "deep/x.toml").read_text() == "whole\n"


def test_a_linked_state_folder_is_refused(tmp_path: Path) -> None:
    """A project whose state folder is a link gets no backups written through it."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (project / ".state").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        install(project)
    assert list(outside.iterdir()) == []


def test_files_of_the_user_are_recorded_with_the_user(tmp_path: Path) -> None:
    """A record that is not confined takes absolute paths, and gives them back."""
    path = tmp_path / "home" / "config.txt"
    folder = tmp_path / "own" / "install"
    installation = Installation(folder, folder, confined=False)
    installation.apply(plan_changes([block(path, path.parent)]))
    assert "ours" in path.read_text()
    assert endings(installation.restore(STRIPS)) == {"config.txt": "removed"}
    assert list(tmp_path.iterdir()) == []


def test_a_confined_record_takes_nothing_from_outside(tmp_path: Path) -> None:
    """Our own code cannot record what it could not give back."""
    project = tmp_path / "project"
    project.mkdir()
    plan = plan_changes([block(tmp_path / "outside.txt", tmp_path)])
    with pytest.raises(StoreError, match="outside"):
        Installation(project / ".state", project).apply(plan)
    assert not (tmp_path / "outside.txt").exists()


def test_a_backup_is_named_by_a_digest_only(tmp_path: Path) -> None:
    """A cloned manifest cannot have a file removed by calling it a backup."""
    folder = tmp_path / ".state" / "install"
    folder.mkdir(parents=True)
    (tmp_path / "victim.txt").write_text("mine\n")
    entry = {"path": "a.txt", "kind": "owned", "before": "../../../victim.txt", "mode": 420, "written": []}
    (folder / "manifest.json").write_text(json.dumps({"entries": [entry]}))
    with pytest.raises(StoreError, match="backup"):
        Installation(folder, tmp_path).restore(STRIPS)
    assert (tmp_path / "victim.txt").exists()


@pytest.mark.parametrize("name", ["backup", "install.lock", "manifest.json"])
def test_links_in_our_own_folder_are_refused(tmp_path: Path, name: str) -> None:
    """A cloned link where our lock, backups or manifest belong leads nowhere."""
    outside, folder = tmp_path / "outside", tmp_path / "project" / ".state" / "install"
    outside.mkdir()
    (outside / "victim.txt").write_text("mine\n")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"entries": []}')
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside if name == "backup" else outside / "victim.txt")
    for act in (lambda: install(tmp_path / "project"), lambda: Installation(folder, folder.parents[1]).restore(STRIPS)):
        with pytest.raises(StoreError, match="symbolic link"):
            act()
    assert (outside / "victim.txt").read_text() == "mine\n"

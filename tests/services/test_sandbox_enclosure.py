"""What a command may touch, as a value: homes, projects, tools, environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import SandboxError
from codex_oss.services.sandbox_enclosure import KEPT_NAMES, Enclosure, clean_environment, enclose
from codex_oss.services.sandbox_landlock import CHANGE, MAKE, allowed_access


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a project in it."""
    (tmp_path / "home" / "work" / "project" / "src").mkdir(parents=True)
    return tmp_path / "home"


@pytest.mark.parametrize("place", [".", "..", "../..", "/"])
def test_a_folder_that_holds_the_home_is_no_project(home: Path, place: str) -> None:
    """The home itself, whatever lies above it, and links to it."""
    (home / "work" / "link").symlink_to(home)
    for root in (home / place, home / "work" / "link"):
        with pytest.raises(SandboxError, match="home") as refused:
            enclose(root, [], {"HOME": str(home)})
        assert refused.value.code == "sandbox_root_refused"


def test_only_folders_of_the_project_can_be_writable(home: Path) -> None:
    """Neither a neighbour nor a link to one; a missing folder is refused, an inner one is part of its outer one."""
    root = home / "work" / "project"
    (root / "link").symlink_to(home / "work")
    for folder in (home / "work", Path(".."), Path("link"), Path("missing")):
        with pytest.raises(SandboxError):
            enclose(root, [folder], {"HOME": str(home)})
    made = enclose(root, [Path("src"), root, Path(".")], {"HOME": str(home)})
    assert made.writable == (str(root),)


def test_links_in_place_of_what_is_guarded_are_refused(home: Path) -> None:
    """A link could be replaced by the command, and its target is not what git looks for next time."""
    root = home / "work" / "project"
    (root / ".git").symlink_to(root / "src")
    with pytest.raises(SandboxError, match="symbolic link"):
        enclose(root, [root], {"HOME": str(home)})
    enclose(root, [], {"HOME": str(home)})
    (root / ".codex-oss").symlink_to(root / "src")
    with pytest.raises(SandboxError, match="symbolic link"):
        enclose(root, [], {"HOME": str(home)})


def test_tools_are_the_system_and_our_interpreter(home: Path, tmp_path: Path) -> None:
    """Nothing of the home is readable but the parts of the interpreter and what the user named himself."""
    root = home / "work" / "project"
    (tmp_path / "tools").mkdir()
    made = enclose(root, [], {"HOME": str(home)}, readable=[tmp_path / "tools", tmp_path / "missing"])
    assert str(tmp_path / "tools") in made.readable
    python = os.path.realpath(sys.base_prefix)
    for path in made.readable:
        assert path.startswith(("/usr", "/etc/", "/nix/store", str(tmp_path / "tools"), python + "/")), path
    assert not any(path.startswith(("/etc/shadow", "/etc/ssh")) for path in made.readable)
    with pytest.raises(SandboxError, match="home"):
        enclose(root, [], {"HOME": str(home)}, readable=[tmp_path])


def test_what_is_covered_is_never_opened_by_landlock(home: Path) -> None:
    """No rule gives writing to the folder that holds `.git`, to `.git`, or anything at all to `.codex-oss`."""
    root = home / "work" / "project"
    for folder in (".git/hooks", ".codex-oss", "docs"):
        (root / folder).mkdir(parents=True)
    (root / "file").touch()
    (root / "link").symlink_to("/etc")
    rules = dict(allowed_access(enclose(root, [root], {"HOME": str(home)}), "/tmp/own"))
    told = {path.removeprefix(f"{root}"): bool(access & (CHANGE | MAKE)) for path, access in rules.items()}
    inside = {path: writes for path, writes in told.items() if not path.startswith(("/usr", "/etc", "/tmp"))}
    assert {path: inside[path] for path in ("", "/src", "/docs", "/file", "/.git")} == {
        "": False,
        "/src": True,
        "/docs": True,
        "/file": True,
        "/.git": False,
    }
    assert not {"/.codex-oss", "/link"} & set(inside)


@given(
    st.dictionaries(
        st.sampled_from([*KEPT_NAMES, "LC_ALL", "PATH", "OPENAI_API_KEY", "LD_PRELOAD", "HOME", "SSH_AUTH_SOCK"])
        | st.text("ABC_", min_size=1),
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
    )
)
def test_the_environment_has_no_name_off_the_list(environ: dict[str, str]) -> None:
    """Whatever is set: only listed names, our own, and a PATH whose parts are absolute and visible."""
    enclosure = Enclosure("/srv/project", ("/usr", "/opt/python/bin"), (), (), ())
    made = clean_environment(environ, enclosure)
    ours = {"PATH", "TERM", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS"}
    assert all(name in KEPT_NAMES or name.startswith("LC_") or name in ours for name in made)
    assert all(part.startswith("/") and ".." not in part.split("/") for part in made["PATH"].split(":"))

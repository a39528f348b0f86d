"""Opening beneath a project against a hostile tree, and walking it."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import codex_oss.services.project_files as files_module
from codex_oss.policy.scope import Scope, check_path
from codex_oss.services.project_files import MAX_READ_BYTES, Entry, FileRefused, ProjectRoot

with ProjectRoot("/") as probe:
    OPENAT2_WORKS = probe._openat2

METHODS = [
    pytest.param(False, id="walk"),
    pytest.param(True, id="openat2", marks=pytest.mark.skipif(not OPENAT2_WORKS, reason="no openat2 on this kernel")),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a file, beside a folder with a secret that nothing may reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f.txt").write_text("OUTSIDE")
    project = tmp_path / "project"
    (project / "src" / "deep").mkdir(parents=True)
    (project / "src" / "f.txt").write_text("inside")
    (project / "src" / "deep" / "g.txt").write_text("deep")
    return project


@pytest.fixture(params=METHODS)
def root(project: Path, request: pytest.FixtureRequest) -> Iterator[ProjectRoot]:
    """The project opened, once by each method."""
    with ProjectRoot(project, use_openat2=request.param) as opened:
        yield opened


def code_of(root: ProjectRoot, rel: str) -> str:
    """The code with which reading *rel* is refused, or what was read."""
    try:
        return root.read_file(rel, 100).data.decode()
    except FileRefused as refused:
        return refused.code


def test_a_file_is_read_with_its_digest(root: ProjectRoot) -> None:
    """Content, size and digest of the whole file; a bound cuts the data, not the digest."""
    whole = root.read_file("./src//f.txt", 100)
    assert (whole.data, whole.size, whole.complete) == (b"inside", 6, True)
    part = root.read_file("src/f.txt", 2)
    assert (part.data, part.size, part.complete) == (b"in", 6, False)
    assert whole.sha256 == part.sha256 == hashlib.sha256(b"inside").hexdigest()


@pytest.mark.parametrize(
    ("rel", "code"),
    [
        ("../outside/f.txt", "path_invalid"),
        ("src/../../outside/f.txt", "path_invalid"),
        ("/etc/passwd", "path_invalid"),
        ("", "path_invalid"),
        ("src/f.txt\0", "path_invalid"),
        ("nothing", "not_found"),
        ("src", "not_a_file"),
        (".", "not_a_file"),
        ("src/f.txt/x", "not_a_folder"),
        ("link.txt", "is_a_link"),
        ("away/f.txt", "is_a_link"),
        ("src/loop/loop/loop", "is_a_link"),
        ("proc/self/environ", "is_a_link"),
        ("magic", "is_a_link"),
        ("fifo", "not_a_file"),
        ("socket", "not_a_file"),
        ("hard.txt", "hard_link_refused"),
        ("huge", "too_large"),
        ("x" * 300, "path_invalid"),
    ],
)
def test_whatever_is_no_plain_file_beneath_is_refused(project: Path, root: ProjectRoot, rel: str, code: str) -> None:
    """Links (also inward ones), special files, hard links and huge files each get their code."""
    (project / "link.txt").symlink_to("src/f.txt")
    (project / "away").symlink_to(project.parent / "outside")
    (project / "src" / "loop").symlink_to(".")
    (project / "proc").symlink_to("/proc")
    (project / "magic").symlink_to("/proc/self/fd/0")
    os.mkfifo(project / "fifo")
    os.link(project.parent / "outside" / "f.txt", project / "hard.txt")
    with (project / "huge").open("wb") as huge:
        huge.truncate(MAX_READ_BYTES + 1)
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(project, os.O_RDONLY)
        try:
            # A socket's address is short; bind through the descriptor.
            listener.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
    assert code_of(root, rel) == code


def test_devices_are_refused(root: ProjectRoot) -> None:
    """A device file is refused before it is opened."""
    with ProjectRoot("/dev", use_openat2=root._openat2) as devices:
        assert code_of(devices, "null") == "not_a_file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_so(project: Path, root: ProjectRoot) -> None:
    """Missing permission is a code of its own."""
    (project / "src" / "f.txt").chmod(0)
    assert code_of(root, "src/f.txt") == "permission"


def test_hard_links_are_read_when_the_caller_says_so(project: Path, root: ProjectRoot) -> None:
    """The refusal of hard links can be lifted by the caller."""
    os.link(project / "src" / "f.txt", project / "again.txt")
    assert root.read_file("again.txt", 100, allow_hard_links=True).data == b"inside"


@pytest.mark.parametrize("name", ["a b.txt", "-rf", "é\u0301.txt", "#x", "%2e%2e", "...", "'\"", "*", "~", "a:b"])
def test_odd_but_legitimate_names_are_read(project: Path, root: ProjectRoot, name: str) -> None:
    """A name is bytes to the kernel: spaces, dashes, quotes and accents are no trouble."""
    (project / name).write_text("odd")
    assert code_of(root, name) == "odd"
    assert Entry(name, "file") in root.list_directory().entries


def test_a_listing_names_links_and_leaves_out_unusable_names(project: Path, root: ProjectRoot) -> None:
    """Entries are sorted and typed; a name with a line end or without a text is left out, and said to be."""
    (project / "z").symlink_to("src")
    os.mkfifo(project / "pipe")
    assert root.list_directory(".").entries == (Entry("pipe", "other"), Entry("src", "folder"), Entry("z", "link"))
    assert root.list_directory(".").complete
    (project / "a\nb").touch()
    (project / os.fsdecode(b"\xff\xfe")).touch()
    listing = root.list_directory(".")
    assert [entry.name for entry in listing.entries] == ["pipe", "src", "z"]
    assert not listing.complete
    with pytest.raises(FileRefused) as caught:
        root.list_directory("z")
    assert caught.value.code == "is_a_link"


def test_a_walk_is_sorted_filtered_and_enters_no_link(project: Path, root: ProjectRoot) -> None:
    """Every file and folder is asked for; links are neither asked about nor entered."""
    (project / "src" / "up").symlink_to("..")
    (project / "src" / "a.txt").symlink_to("f.txt")
    (project / "src" / "no").mkdir()
    (project / "src" / "no" / "n.txt").touch()
    asked: list[str] = []

    def accept(path: str, kind: str) -> bool:
        asked.append(path)
        return path != "src/no"

    assert list(root.walk(".", accept)) == ["src/deep/g.txt", "src/f.txt"]
    assert asked == ["src", "src/deep", "src/deep/g.txt", "src/f.txt", "src/no"]
    assert list(root.walk("src/f.txt", accept)) == ["src/f.txt"]
    with pytest.raises(FileRefused):
        list(root.walk("src/up", accept))


def test_a_walk_is_bounded_and_says_so(project: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the walk ends and is not complete."""
    monkeypatch.setattr(files_module, "MAX_WALK_ENTRIES", 3)
    walk = root.walk(".", lambda path, kind: True)
    assert list(walk) == ["src/deep/g.txt"]
    assert not walk.complete


NAMES = st.sampled_from(["a", "b", "é", "x y", ".git", "secrets", "f.py"])
TREES = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.sampled_from(["file", "in", "out"])), max_size=6)
ASKED = st.lists(st.one_of(NAMES, st.sampled_from(["..", ".", "", "\0", "/", "OUT"])), max_size=5).map("/".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TREES, st.lists(ASKED, max_size=8), NAMES)
def test_an_allowed_path_resolves_below_its_root(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[list[str], str]], asked: list[str], allowed: str
) -> None:
    """Over generated trees with links inward and outward: what policy allows and opens is a file below the root."""
    top = tmp_path_factory.mktemp("t")
    (top / "OUT").mkdir()
    (top / "OUT" / "f.py").write_text("OUT")
    project = top / "p"
    project.mkdir()
    made = []
    for parts, kind in tree:
        path = project.joinpath(*parts)
        if path.exists() or path.is_symlink() or any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if project not in path.parent.resolve().parents and path.parent.resolve() != project:
            continue
        path.write_text("IN") if kind == "file" else path.symlink_to(project if kind == "in" else top / "OUT")
        made.append("/".join(parts))
    scope = Scope(roots=(allowed,))
    for use_openat2 in {False, OPENAT2_WORKS}:
        with ProjectRoot(project, use_openat2=use_openat2) as root:
            for rel in (*asked, *made, *(f"{one}/f.py" for one in made)):
                if not check_path(rel, scope).allowed:
                    continue
                try:
                    fd = root.open_beneath(rel)
                except FileRefused:
                    continue
                with os.fdopen(fd, "rb") as opened:
                    real = Path(os.readlink(f"/proc/self/fd/{fd}"))
                    assert project / allowed in (real, *real.parents)
                    assert opened.read() == b"IN"


ATTACKER = """
import ctypes, os, sys, threading
inside, link, spare = sys.argv[1:]
libc = ctypes.CDLL(None)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
def exchange():
    if hasattr(libc, "renameat2"):
        return libc.renameat2(-100, inside.encode(), -100, link.encode(), 2) == 0
    return False
works = exchange()
print("ready", flush=True)
while True:
    if works:
        exchange()
    else:
        os.rename(inside, spare); os.rename(link, inside); os.rename(inside, link); os.rename(spare, inside)
"""


@pytest.mark.parametrize("through_link", [False, True])
def test_a_concurrent_swap_leaks_nothing(project: Path, root: ProjectRoot, through_link: bool) -> None:
    """While another process swaps a folder and a link to the outside, thousands of opens never read the outside."""
    swapped, link = project / "src", project / "other"
    link.symlink_to(project.parent / "outside")
    attacker = subprocess.Popen(
        [sys.executable, "-I", "-c", ATTACKER, str(swapped), str(link), str(project / "spare")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert attacker.stdin is not None
    assert attacker.stdout is not None
    met: dict[str, int] = {}
    try:
        assert attacker.stdout.readline() == b"ready\n"
        # Goes on until both states were met, since the attacker is scheduled as the machine likes.
        for opens in range(300_000):
            found = code_of(root, "other/f.txt" if through_link else "src/f.txt")
            met[found] = met.get(found, 0) + 1
            if opens >= 3_000 and "inside" in met and len(met) > 1:
                break
    finally:
        attacker.stdin.close()
        attacker.wait(10)
        attacker.stdout.close()
    assert "OUTSIDE" not in met
    assert "inside" in met
    assert set(met) - {"inside"} <= {"is_a_link", "not_found", "not_a_folder"}


def test_a_missing_project_is_an_error_with_a_code(tmp_path: Path) -> None:
    """Opening a project that is not there, or is a file, says so."""
    with pytest.raises(FileRefused) as caught:
        ProjectRoot(tmp_path / "no")
    assert caught.value.code == "not_found"


def test_the_resolve_then_open_idiom_is_banned() -> None:
    """No file of the tools resolves a path to check it before opening."""
    for name in ("project_files", "openat2", "search", "git", "tool_host"):
        source = Path(files_module.__file__).with_name(f"{name}.py").read_text()
        assert "realpath" not in source
        assert ".resolve(" not in source

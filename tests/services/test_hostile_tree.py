"""A hostile tree through the real tool host: links, races, odd files and odd spellings show nothing; odd names work."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_oss.contracts.tools import ToolCall, ToolResult
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.path_patterns import parse_patterns
from codex_oss.policy.scope import Scope
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.tool_host import ToolHost, ToolLimits

SECRET = "w0rd-behind-the-wall"
WHOLE = Scope(roots=(".",))
ODD = [
    "a b.txt",
    "\u00fc\u6f22.txt",
    "-rf",
    "[x].txt",
    "..foo",
    "...",
    ".hidden",
    "a'b\"c",
    "$(x)",
    "*",
    "x" * 200,
    "a:b",
    "~",
    "#",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`out` lies outside; everything in `p` that leads there, or that is no plain file, is a trap."""
    project, out = tmp_path / "p", tmp_path / "out"
    (project / "src").mkdir(parents=True)
    out.mkdir()
    (out / "secret.txt").write_text(f"{SECRET}\n")
    (project / ".env").write_text(f"{SECRET}\n")
    (project / "src/.Env").write_text(f"{SECRET}\n")
    (project / "src/main.py").write_text("plain = 1\n")
    (project / "src/to_file").symlink_to(out / "secret.txt")
    (project / "src/to_env").symlink_to("../.env")
    (project / "src/to_folder").symlink_to(out)
    (project / "src/to_root").symlink_to("/")
    (project / "src/chain").symlink_to("to_folder")
    (project / "src/loop").symlink_to("loop")
    (project / "src/proc").symlink_to("/proc/self/environ")
    os.link(out / "secret.txt", project / "src/hard.txt")
    os.mkfifo(project / "src/pipe")
    (project / "src/wide.txt").write_bytes(SECRET.encode("utf-16"))
    (project / "src/blob").write_bytes(b"\0" + SECRET.encode())
    (project / f"src/line\n{SECRET}\x1b[31m.txt").write_text("x\n")
    with (project / "src/huge.txt").open("wb") as huge:
        huge.truncate(80 * 1024 * 1024)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project / "src/sock"))
    return project


@pytest.fixture(params=[None, False], ids=["openat2", "walk"])
def host(tree: Path, request: pytest.FixtureRequest) -> Iterator[ToolHost]:
    """A host on the tree, with and without the kernel's own walk."""
    with ProjectRoot(tree, use_openat2=request.param) as root:
        yield ToolHost(root, Redactor())


def run(host: ToolHost, tool: str, scope: Scope = WHOLE, **arguments: Any) -> ToolResult:
    """One call."""
    return host.run(ToolCall(tool, arguments), scope, ToolLimits(timeout_s=10))


def shown(result: ToolResult) -> str:
    """Everything of a result that anybody sees."""
    return repr(result)


WAYS = [
    ".env", "./.env", ".ENV", "src/.Env", "src/../.env", "src/to_file", "src/to_env", "src/to_folder/secret.txt",
    "src/to_root/etc/hostname", "src/chain/secret.txt", "src/loop", "src/proc", "src/hard.txt", "src/pipe",
    "src/sock",
    "src/wide.txt", "src/blob", "src/huge.txt", "../out/secret.txt", "/proc/self/environ", "/proc/self/cwd/.env",
    "src/to_root/proc/self/root/etc/hostname", "/dev/zero", "src/main.py/../../.env", "\uff0eenv", ".e\u200bnv",
    ".env.",
    ".env ", ".env/", ".env/.", "src\\..\\.env", "file:.env", "%2eenv", "C:/x", "src/main.py\0.env", "~/.ssh/id_rsa",
    "",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_the_secret(host: ToolHost, way: str) -> None:
    """Read, searched and listed by every spelling and link: an error with a code, at once, and nothing shown."""
    began = time.monotonic()
    read = run(host, "rtk_read", path=way)
    assert read.error_code, way
    for result in (read, run(host, "rtk_grep", path=way, pattern="w0rd"), run(host, "rtk_ls", path=way)):
        assert SECRET not in shown(result)
        assert "root:" not in shown(result)
    assert time.monotonic() - began < 10


def test_searches_and_listings_of_the_whole_tree_show_nothing(host: ToolHost) -> None:
    """No content, no name of a denied file, no name that would move a cursor; links are shown as links."""
    found = run(host, "rtk_grep", path=".", pattern="w0rd|plain")
    assert [(match.path, match.line) for match in found.matches] == [("src/main.py", 1)]
    assert found.files_skipped >= 3
    assert not found.complete
    listed = run(host, "rtk_ls", path="src")
    assert "main.py" in listed.lines
    assert "to_folder@" in listed.lines
    assert not any(".env" in line.lower() or SECRET in line or "\x1b" in line for line in listed.lines)
    assert not listed.complete


@pytest.mark.parametrize("name", ODD)
def test_legitimate_odd_names_are_read_listed_and_searched(tree: Path, host: ToolHost, name: str) -> None:
    """Blanks, brackets, dashes, dots and other scripts are names like any other."""
    (tree / "src" / name).write_text("odd_value = 7\n")
    assert run(host, "rtk_read", path=f"src/{name}").lines == ("odd_value = 7",)
    assert name in run(host, "rtk_ls", path="src").lines
    matches = run(host, "rtk_grep", path="src", pattern="odd_value").matches
    assert [match.path for match in matches] == [f"src/{name}"]
    only = run(host, "rtk_grep", path=f"src/{name}", pattern="odd_value").matches
    assert [match.path for match in only] == [f"src/{name}"]


def test_a_project_may_allow_hard_links_by_name(tree: Path, host: ToolHost) -> None:
    """What `.codex-oss/hard-links` names is read and searched; its other name stays outside as ever."""
    (tree / "src/pair_a.txt").write_text("twin\n")
    os.link(tree / "src/pair_a.txt", tree / "src/pair_b.txt")
    assert run(host, "rtk_read", path="src/pair_a.txt").error_code == "hard_link_refused"
    assert run(host, "rtk_grep", path="src", pattern="twin").match_count == 0
    allowed = Scope(roots=(".",), linked=parse_patterns("pair_*\n.env\n"))
    assert run(host, "rtk_read", allowed, path="src/PAIR_a.txt").error_code == "not_found"
    assert run(host, "rtk_read", allowed, path="src/pair_a.txt").lines == ("twin",)
    assert run(host, "rtk_grep", allowed, path="src", pattern="twin").match_count == 2
    assert run(host, "rtk_read", allowed, path=".env").error_code == "path_denied"
    assert run(host, "rtk_read", allowed, path="src/hard.txt").error_code == "hard_link_refused"


@pytest.mark.parametrize("kind", ["file", "folder", "hard"])
def test_a_swap_while_reading_shows_nothing(tree: Path, host: ToolHost, kind: str) -> None:
    """A file or folder that becomes a link, and back, as fast as can be: only the honest file or an error comes."""
    honest, evil, over = "honest\n", threading.Event(), time.monotonic() + 1.5
    (tree / "src/sub").mkdir()
    (tree / "src/sub/secret.txt").write_text(honest)

    def swap() -> None:
        target, plain = tree / ("src/sub" if kind == "folder" else "src/sub/secret.txt"), tree / "kept"
        trap = tree.parent / "trap"
        while time.monotonic() < over:
            if kind == "hard":
                os.link(tree.parent / "out/secret.txt", trap)
            else:
                trap.symlink_to(tree.parent / "out" / ("" if kind == "folder" else "secret.txt"))
            os.rename(target, plain)
            os.rename(trap, target)
            target.unlink()
            os.rename(plain, target)
            evil.set()

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        reads = 0
        while swapper.is_alive():
            for result in (
                run(host, "rtk_read", path="src/sub/secret.txt"),
                run(host, "rtk_grep", path="src/sub", pattern="w0rd|honest"),
            ):
                assert SECRET not in shown(result)
                reads += 1
    finally:
        swapper.join()
    assert evil.is_set()
    assert reads > 20


NAMES = st.text(
    alphabet=st.sampled_from(
        ["a", ".", "e", "n", "v", "/", "E", "N", "V", "\uff0e", "\u200b", " ", "s", "r", "c", "_"]
    ),
    max_size=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=NAMES)
def test_no_generated_spelling_shows_the_secret(host: ToolHost, name: str) -> None:
    """Any mixture of the letters of denied names, dots, slashes and invisible characters."""
    for path in (name, f"src/{name}", f"{name}/src"):
        assert SECRET not in shown(run(host, "rtk_read", path=path))


@pytest.mark.skipif(shutil.which("rg") is None, reason="rg is not installed")
def test_a_pattern_that_matches_a_refused_file_changes_nothing_that_is_told(host: ToolHost) -> None:
    """Searching tells nothing of a file that may not be read, not even by its counts: no letter by letter."""
    guesses = [
        run(host, "rtk_grep", path="src", pattern=pattern) for pattern in ("w0rd-b", "w0rd-x", "w0rd.b", "w0rd.x")
    ]
    assert len({(one.match_count, one.files_searched, one.files_skipped, one.complete) for one in guesses}) == 1

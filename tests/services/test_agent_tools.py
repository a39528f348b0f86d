"""The tools against a hostile model: it reads no secret, leaves no project, and writes only what was shown."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from codex_oss.agent.tools import parse_call
from codex_oss.contracts.tools import Verdict
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import Scope
from codex_oss.services.agent_tools import AgentTools, Performed, Prepared
from codex_oss.services.project_files import ProjectRoot
from codex_oss.wire.items import FunctionCall
from tests.fakes.agent_parts import RememberingShell

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
HELD = "held-value-of-this-process-0123456789"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with secrets, links out of it and odd files."""
    folder = tmp_path / "project"
    (folder / ".git/hooks").mkdir(parents=True)
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / "a.py").write_text("one = 1\ntwo = 2\n")
    (folder / "keys.py").write_text(f"A = 1\nTOKEN = '{SECRET}'\nB = 2\n")
    (folder / "held.txt").write_text(f"x {HELD} y\n")
    (folder / ".env").write_text(f"KEY={SECRET}\n")
    (folder / ".git/config").write_text("[core]\n")
    (folder / ".github/workflows/ci.yml").write_text("on: push\n")
    (folder / "image.bin").write_bytes(b"\0\1\2")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "escape.txt").write_bytes(b"\x1b]0;title\x07 plain\n")
    (tmp_path / "outside.txt").write_text("outside\n")
    (folder / "out").symlink_to(tmp_path / "outside.txt")
    os.link(tmp_path / "outside.txt", folder / "hard")
    return folder


class Hands:
    """The tools on one project, called as a model calls them."""

    def __init__(self, project: Path, **shell: Any) -> None:
        self.shell = RememberingShell(**shell)
        scope = Scope(roots=(".",), guards_critical=False)
        self.tools = AgentTools(ProjectRoot(project), scope, Redactor([HELD]), self.shell)

    def prepare(self, name: str, **arguments: Any) -> Prepared | Verdict:
        """What would be done."""
        wanted = parse_call(FunctionCall("c", name, json.dumps(arguments)))
        assert not isinstance(wanted, Verdict), wanted
        return asyncio.run(self.tools.prepare(wanted, 60.0))

    def do(self, name: str, **arguments: Any) -> Performed:
        """What came of it, approved."""
        prepared = self.prepare(name, **arguments)
        assert isinstance(prepared, Prepared), prepared
        return asyncio.run(perform(prepared))

    def code(self, name: str, **arguments: Any) -> str:
        """Why it is not done."""
        prepared = self.prepare(name, **arguments)
        assert isinstance(prepared, Verdict), prepared
        return prepared.code


async def perform(prepared: Prepared) -> Performed:
    """Do what was prepared."""
    return await prepared.perform()


@pytest.fixture
def hands(project: Path) -> Hands:
    """The tools on it."""
    return Hands(project)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../outside.txt", "path_traversal"), ("/etc/passwd", "path_absolute"), (".env", "path_denied"),
        (".git/config", "path_denied"), ("out", "is_a_link"), ("hard", "hard_link_refused"), ("no.py", "not_found"),
        ("image.bin", "binary_file"),
    ],
)  # fmt: skip
def test_reading_stays_inside(hands: Hands, path: str, code: str) -> None:
    """Each way out, and each name that is never read, is an outcome that says so and shows nothing."""
    told = hands.do("read_file", path=path).told
    assert (told.ok, told.output.partition(":")[0]) == (False, code)
    assert "outside\n" not in told.output


def test_secrets_are_not_shown(hands: Hands) -> None:
    """Neither by reading nor by searching, neither a vendor's form nor what this process holds."""
    shown = [hands.do("read_file", path=name).told.output for name in ("keys.py", "held.txt")]
    shown += [hands.do("search", pattern=pattern).told.output for pattern in ("TOKEN", "ghp_", "held-value", ".*")]
    assert all(SECRET not in text and HELD not in text for text in shown)
    assert "[REDACTED:" in shown[0]


def test_critical_paths_are_read_by_the_agent_of_a_person(hands: Hands) -> None:
    """What a mission needs a permission for, a person's own agent reads; what is denied stays denied."""
    assert "on: push" in hands.do("read_file", path=".github/workflows/ci.yml").told.output
    assert "workflows" in hands.do("search", pattern="push").told.output


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("edit_file", {"path": "../outside.txt", "old_text": "o", "new_text": "x"}, "path_traversal"),
        ("edit_file", {"path": ".env", "old_text": "K", "new_text": "x"}, "path_denied"),
        ("edit_file", {"path": "out", "old_text": "outside", "new_text": "x"}, "is_a_link"),
        ("edit_file", {"path": "hard", "old_text": "outside", "new_text": "x"}, "hard_link_refused"),
        ("edit_file", {"path": "image.bin", "old_text": "o", "new_text": "x"}, "binary_file"),
        ("edit_file", {"path": "latin.txt", "old_text": "c", "new_text": "x"}, "not_text"),
        ("edit_file", {"path": "no.py", "old_text": "o", "new_text": "x"}, "not_found"),
        ("edit_file", {"path": "a.py", "old_text": "three", "new_text": "x"}, "edit_does_not_match"),
        ("edit_file", {"path": "a.py", "old_text": " = ", "new_text": "x"}, "edit_matches_twice"),
        ("edit_file", {"path": "keys.py", "old_text": SECRET[:6], "new_text": "x"}, "edit_does_not_match"),
        ("create_file", {"path": ".git/hooks/pre-commit", "content": "x"}, "path_denied"),
        ("create_file", {"path": ".codex-oss/config.toml", "content": "x"}, "path_denied"),
        ("create_file", {"path": "sub/../../x", "content": "x"}, "path_traversal"),
        ("create_file", {"path": "a.py", "content": "x"}, "file_exists"),
        ("create_file", {"path": "out", "content": "x"}, "file_exists"),
        ("create_file", {"path": "b.py", "content": "K = '[REDACTED:held]'"}, "placeholder_in_edit"),
        ("shell", {"command": "  "}, "argument_invalid"),
    ],
)
def test_what_is_never_offered_to_a_person(hands: Hands, name: str, arguments: dict[str, Any], code: str) -> None:
    """It is refused before anybody is asked, with its own code."""
    assert hands.code(name, **arguments) == code


def test_a_file_that_is_too_large_is_not_edited(hands: Hands, project: Path) -> None:
    """Neither one that is nor one that would become so."""
    (project / "big.txt").write_text("a\n" * 2_500_000)
    assert hands.code("edit_file", path="big.txt", old_text="b", new_text="c") == "too_large"
    (project / "many.txt").write_text("a" * 100_000)
    grown = {"path": "many.txt", "old_text": "a", "new_text": "b" * 1000, "replace_all": True}
    assert hands.code("edit_file", **grown) == "too_large"


def test_an_edit_shows_what_it_will_do_and_does_that(hands: Hands, project: Path) -> None:
    """The proposal has the diff; the file changes only with `perform`, to exactly that."""
    prepared = hands.prepare("edit_file", path="./a.py", old_text="one = 1", new_text="one = 11")
    assert isinstance(prepared, Prepared)
    assert (prepared.proposal.summary, prepared.proposal.asks) == ("edit a.py (+1 -1)", True)
    assert "-one = 1\n+one = 11\n" in prepared.proposal.diff
    assert (project / "a.py").read_text() == "one = 1\ntwo = 2\n"
    done = asyncio.run(perform(prepared))
    assert (done.told.ok, done.changed) == (True, True)
    assert (project / "a.py").read_text() == "one = 11\ntwo = 2\n"


def test_a_file_that_changes_while_somebody_thinks_is_left(hands: Hands, project: Path) -> None:
    """What was approved was another file."""
    prepared = hands.prepare("edit_file", path="a.py", old_text="one = 1", new_text="one = 11")
    assert isinstance(prepared, Prepared)
    (project / "a.py").write_text("one = 1\nmine = 3\n")
    done = asyncio.run(perform(prepared))
    assert (done.told.ok, done.changed) == (False, False)
    assert done.told.output.startswith("file_changed")
    assert (project / "a.py").read_text() == "one = 1\nmine = 3\n"


def test_a_path_that_becomes_a_link_while_somebody_thinks(hands: Hands, project: Path) -> None:
    """Neither an edit nor a new file lands where it leads."""
    edit = hands.prepare("edit_file", path="a.py", old_text="one = 1", new_text="one = 11")
    new = hands.prepare("create_file", path="sub/new.py", content="x")
    assert isinstance(edit, Prepared)
    assert isinstance(new, Prepared)
    outside = project.parent / "elsewhere"
    outside.mkdir()
    (outside / "a.py").write_text("one = 1\ntwo = 2\n")
    (project / "a.py").unlink()
    (project / "a.py").symlink_to(outside / "a.py")
    (project / "sub").symlink_to(outside)
    assert not asyncio.run(perform(edit)).told.ok
    assert not asyncio.run(perform(new)).told.ok
    assert os.listdir(outside) == ["a.py"]
    assert (outside / "a.py").read_text() == "one = 1\ntwo = 2\n"


def test_a_diff_has_no_secret(hands: Hands, project: Path) -> None:
    """Lines around a change may hold one; the file keeps it."""
    prepared = hands.prepare("edit_file", path="keys.py", old_text="A = 1", new_text="A = 3")
    assert isinstance(prepared, Prepared)
    assert SECRET not in prepared.proposal.diff
    assert asyncio.run(perform(prepared)).told.ok
    assert (project / "keys.py").read_text() == f"A = 3\nTOKEN = '{SECRET}'\nB = 2\n"


def test_the_output_of_a_command_is_clean_and_bounded(project: Path) -> None:
    """No secret, no escape sequence; of much output the begin and the end, and a word that it is not all."""
    hands = Hands(project, output=f"\x1b[31mred\x1b[0m {SECRET} {HELD}\x1b]0;x\x07\n")
    told = hands.do("shell", command="x").told
    assert told.output.startswith("exit code 0\nred ")
    assert not {SECRET, HELD, "\x1b", "\x07"} & {part for part in (SECRET, HELD, "\x1b", "\x07") if part in told.output}
    long = Hands(project, output="begin\n" + "middle\n" * 50_000 + "end\n").do("shell", command="x").told
    assert len(long.output) < 41_000
    assert "begin\n" in long.output
    assert "\nend\n" in long.output
    assert "left out" in long.output


def test_a_command_is_proposed_with_its_level(hands: Hands) -> None:
    """The person sees the whole command and what encloses it; nothing has run yet."""
    prepared = hands.prepare("shell", command="echo a\necho b", timeout_s=5)
    assert isinstance(prepared, Prepared)
    assert (prepared.proposal.command, prepared.proposal.sandbox) == ("echo a\necho b", "bwrap")
    assert hands.shell.commands == []


def test_control_characters_of_a_file_do_not_reach_the_model(hands: Hands) -> None:
    """A file that would set the title of a terminal shows where it tried."""
    output = hands.do("read_file", path="escape.txt").told.output
    assert "\x1b" not in output
    assert "plain" in output

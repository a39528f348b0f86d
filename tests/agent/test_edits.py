"""Edits as text: exact, with the file's own line ends, never over a secret; and the diff that a person is shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codex_oss.agent import edits
from codex_oss.agent.edits import MAX_DIFF_LINES, check_new, diff_of, replaced
from codex_oss.contracts.tools import Verdict

HIDDEN = "[REDACTED:held]"
LINES = st.lists(st.sampled_from(["a", "b", "c", "", "x y", "-", "+"]), max_size=30)


def code(result: str | Verdict | None) -> str:
    """The code of a refusal; empty for a text."""
    return result.code if isinstance(result, Verdict) else ""


@pytest.mark.parametrize(
    ("text", "shown", "old", "new", "expected"),
    [
        ("a b", "a b", "", "x", "edit_empty"),
        ("a b", "a b", "a", "a", "edit_changes_nothing"),
        ("a b", "a b", "z", "x", "edit_does_not_match"),
        ("a a", "a a", "a", "x", "edit_matches_twice"),
        ("a b", "a b", "a", HIDDEN, "placeholder_in_edit"),
        ("k=s3", f"k={HIDDEN}", f"k={HIDDEN}", "k=1", "placeholder_in_edit"),
        ("k=s3", f"k={HIDDEN}", "s3", "1", "edit_does_not_match"),
        ("s3 s3", f"s3 {HIDDEN}", "s3", "1", "edit_does_not_match"),
    ],
)
def test_what_is_not_edited(text: str, shown: str, old: str, new: str, expected: str) -> None:
    """Each refusal has its own code; a secret that was not shown can neither be replaced nor guessed."""
    assert code(replaced(text, shown, old, new)) == expected


def test_what_is_edited() -> None:
    """One occurrence, all of them when that was said, and text about placeholders that stands in the file."""
    assert replaced("a b", "a b", "a", "x") == "x b"
    assert replaced("a a", "a a", "a", "x", every=True) == "x x"
    assert replaced(f"see {HIDDEN}", f"see {HIDDEN}", f"see {HIDDEN}", "gone") == "gone"


def test_line_ends_are_kept() -> None:
    """Where every line ends in CRLF the model's line feeds become CRLF; where they are mixed nothing is guessed."""
    text = "a\r\nb\r\n"
    assert replaced(text, text, "a\nb", "a\nx\nb") == "a\r\nx\r\nb\r\n"
    mixed = "a\r\nb\n"
    assert code(replaced(mixed, mixed, "a\nb", "x")) == "edit_does_not_match"
    assert replaced(mixed, mixed, "a\r\nb", "x") == "x\n"


def test_a_new_file_holds_no_placeholder() -> None:
    """What stands for a secret is not written as if it were one."""
    assert code(check_new(f"key = {HIDDEN}")) == "placeholder_in_edit"
    assert check_new("key = 1") is None


@given(LINES, LINES, st.booleans(), st.sampled_from([edits.MAX_COMPARED, 0]))
def test_a_diff_makes_the_new_text_of_the_old_one(old: list[str], new: list[str], ends: bool, compared: int) -> None:
    """`patch` agrees with what is shown, whichever way the diff was made."""
    before, after = "\n".join(old) + "\n" * ends, "\n".join(new) + "\n" * ends
    assume(before != after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "MAX_COMPARED", compared)
        diff, added, removed = diff_of("f", before, after)
    body = diff.split("\n")[2:]
    assert added == sum(line.startswith("+") for line in body)
    assert removed == sum(line.startswith("-") for line in body)
    assert applied(before, diff) == after


def applied(before: str, diff: str) -> str:
    """*before* with a unified diff applied, by the numbers and signs of its hunks."""
    source = edits._lines(before)
    result: list[str] = []
    at, last = 0, ""
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            first, _, count = line.split()[1][1:].partition(",")
            start = int(first) - (0 if count == "0" else 1)
            result += source[at:start]
            at = start
        elif line.startswith("\\"):
            if last != "-":
                result[-1] = result[-1].removesuffix("\n")
        elif line[0] in " -":
            assert source[at].rstrip("\n") == line[1:].rstrip("\n")
            at += 1
            if line[0] == " ":
                result.append(line[1:])
        else:
            result.append(line[1:])
        last = line[0]
    return "".join(result + source[at:])


def test_a_diff_that_patch_takes(tmp_path: Path) -> None:
    """The real `git apply` takes what is shown, for an edit and for a new file."""
    (tmp_path / "f").write_text("a\nb\nc")
    for path, before, after in (("f", "a\nb\nc", "a\nx\nc\nd\n"), ("new", None, "one\ntwo")):
        diff, _, _ = diff_of(path, before, after)
        subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
        assert (tmp_path / path).read_text() == after


def test_a_long_diff_says_what_it_leaves_out() -> None:
    """A diff is bounded, and nobody is made to believe that it is whole."""
    diff, added, removed = diff_of("f", None, "x\n" * 5000)
    assert (added, removed) == (5000, 0)
    assert diff.count("\n") == MAX_DIFF_LINES + 1
    assert diff.endswith("more lines\n")

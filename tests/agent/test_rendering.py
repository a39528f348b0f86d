"""Results in words: for the model whole or with a note that they are not, for the person one line."""

from __future__ import annotations

import pytest

from codex_oss.agent.rendering import MORE, one_line, told_command, told_result, without_colours
from codex_oss.contracts.tools import Match, ToolResult, tool_error


def test_an_extract_has_line_numbers() -> None:
    """Lines carry their true numbers, and the head says how many there are."""
    result = ToolResult("rtk_read", "extract", 0, path="f", start_line=9, lines=("a", "b"), total_lines=20)
    told = told_result("read_file", result)
    assert told.output == "f lines 9-10 of 20\n 9: a\n10: b"
    assert (told.ok, told.summary) == (True, "f lines 9-10 of 20")
    assert told_result("read_file", ToolResult("rtk_read", "extract", 0, path="f")).output == "f is empty."


def test_matches_are_sorted_with_their_context() -> None:
    """Matches and the lines around them stand in the order of the file, each marked as what it is."""
    result = ToolResult(
        "rtk_grep", "matches", 0, matches=(Match("f", 2, "hit"),), context=(Match("f", 1, "near"),), match_count=1,
        files_searched=3, complete=False,
    )  # fmt: skip
    assert told_result("search", result).output == f"1 match in 3 files\nf-1- near\nf:2: hit\n{MORE}"
    whole = ToolResult("rtk_grep", "matches", 0, matches=(Match("f", 2, "hit"),), match_count=1, files_searched=3)
    assert told_result("search", whole).output == "1 match in 3 files\nf:2: hit"


@pytest.mark.parametrize(("complete", "note"), [(True, ""), (False, " The search was not whole.")])
def test_finding_nothing_says_whether_everything_was_searched(complete: bool, note: str) -> None:
    """No match is a statement about what was searched."""
    result = ToolResult("rtk_grep", "matches", 1, files_searched=3, complete=complete)
    assert told_result("search", result).output == f"No matches (3 files searched).{note}"


def test_listings_and_errors() -> None:
    """A folder is its names; an error is its code and sentence."""
    assert told_result("list_files", ToolResult("rtk_ls", "entries", 0, lines=("a/", "b"))).output == "a/\nb"
    cut = told_result("list_files", ToolResult("rtk_ls", "entries", 0, lines=("a/",), complete=False))
    assert cut.output == f"a/\n{MORE}"
    assert told_result("list_files", ToolResult("rtk_ls", "entries", 0)).output == "(empty)"
    failed = told_result("read_file", tool_error("rtk_read", "not_found", "No."))
    assert (failed.ok, failed.output) == (False, "not_found: No.")


@pytest.mark.parametrize(
    ("exit_code", "ended_by", "whole", "ok", "begin", "end"),
    [
        (0, "", True, True, "exit code 0\n", "out"),
        (3, "", True, False, "exit code 3\n", "out"),
        (0, "", False, True, "exit code 0\n", MORE),
        (124, "time", True, False, "It did not end in its time", "out"),
        (137, "sun", True, False, "It was killed: sun.", "out"),
    ],
)
def test_commands(exit_code: int, ended_by: str, whole: bool, ok: bool, begin: str, end: str) -> None:
    """The model reads how a command ended before it reads what it wrote."""
    told = told_command(exit_code, "out\n", ended_by=ended_by, whole=whole)
    assert told.ok is ok
    assert told.output.startswith(begin)
    assert told.output.endswith(end)
    assert told.summary.endswith("1 line of output")
    assert told_command(0, "").summary == "exit code 0, 0 lines of output"


def test_one_line_is_one_line() -> None:
    """Whatever stands in it, a summary is one bounded line."""
    assert one_line(" a\n\tb ") == "a b"
    assert len(one_line("x" * 500)) == 160


def test_colours_go() -> None:
    """Escape sequences of terminals are taken out before anything is judged by its length."""
    assert without_colours("\x1b[1;31mred\x1b[0m \x1b]0;title\x07end \x1b]8;;http://x\x1b\\l") == "red end l"

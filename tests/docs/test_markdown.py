"""The reader of our Markdown examples, which would otherwise hide what it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import Block, examples, words_of
from tests.docs.test_examples import fits


def test_a_console_block_gives_commands_with_their_output() -> None:
    """Commands begin with `$`, may go on after a backslash, and own the lines below them."""
    block = Block(Path("x.md"), 1, "console", "$ one --a \\\n  --b\nout\nmore\n$ two\n", False)
    assert [(example.command, example.output) for example in examples(block)] == [
        ("one --a --b", "out\nmore"),
        ("two", ""),
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("codex-oss status --json | jq .", ["codex-oss", "status", "--json"]),
        ("UPSTREAM_BASE=http://x codex-oss up", ["codex-oss", "up"]),
        ("codex-oss mission run -<'a b'", ["codex-oss", "mission", "run", "-"]),
        ("codex-oss up -- codex 'say hi'", ["codex-oss", "up", "--", "codex", "say hi"]),
    ],
)
def test_only_the_words_of_our_own_command_are_checked(command: str, words: list[str]) -> None:
    """Pipes, redirections and assignments belong to the shell."""
    assert words_of(command) == words


@pytest.mark.parametrize(
    ("lines", "shown", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a"], False),
        (["a", "b", "c"], ["a", "...", "c"], True),
        (["a", "b", "c"], ["..."], True),
        (["a"], ["a", "...", "c"], False),
        ([], [], True),
    ],
)
def test_three_dots_stand_for_any_lines(lines: list[str], shown: list[str], same: bool) -> None:
    """Shown output may leave out the middle, and nothing else."""
    assert fits(lines, shown) is same

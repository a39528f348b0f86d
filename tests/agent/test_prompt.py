"""The instructions: the same bytes for the same project, with what the project says, within a bound."""

from __future__ import annotations

from codex_oss.agent.prompt import INSTRUCTIONS, MAX_PROJECT_WORDS_CHARS, instructions


def test_the_project_may_add_its_words() -> None:
    """Without words they are ours alone; the project's follow, bounded."""
    assert instructions() == instructions("  \n") == INSTRUCTIONS
    assert instructions("Use tabs.") == f"{INSTRUCTIONS}\nThe project says (AGENTS.md):\n\nUse tabs.\n"
    assert len(instructions("x" * 10**6)) < len(INSTRUCTIONS) + MAX_PROJECT_WORDS_CHARS + 100

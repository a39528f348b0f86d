"""The setting `instruction_set`, all the way to the backend: what is said is added, and off is off."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.account_bench import account_bench, text_of


def test_a_set_reaches_the_backend(tmp_path: Path) -> None:
    """Behind the client's own instructions, the same bytes in every turn; and `ultra` is sent as `max`."""
    own = tmp_path / "config" / "codex-oss" / "personalities"
    own.mkdir(parents=True)
    (own / "calm.md").write_text("Stay calm.\n")
    with account_bench(tmp_path, CODEX_OSS_INSTRUCTION_SET="calm,plan") as bench:
        bench.seat("a")
        for _ in range(2):
            text_of(bench.ask("hi", instructions="Be terse.", reasoning={"effort": "ultra"}))
        first, second = (turn.body for turn in bench.backend.turns)
    assert first["instructions"].startswith(
        'Be terse.\n\n<instruction_set name="calm">\nStay calm.\n</instruction_set>'
    )
    assert '<instruction_set name="plan">' in first["instructions"]
    assert first["instructions"] == second["instructions"]
    assert first["reasoning"]["effort"] == "max"


def test_without_the_setting_nothing_is_added(tmp_path: Path) -> None:
    """The client's instructions go as they came."""
    with account_bench(tmp_path) as bench:
        bench.seat("a")
        text_of(bench.ask("hi", instructions="Be terse."))
        assert bench.backend.turns[0].body["instructions"] == "Be terse."

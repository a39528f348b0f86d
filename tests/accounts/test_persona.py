"""A personality of a person's words: the contract always stands, what would spoil the work never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.accounts.persona import (
    BANDS,
    CHARS_PER_TOKEN,
    CONTRACT,
    RULES,
    UNSAFE,
    Fields,
    Source,
    persona_of_fields,
    persona_of_source,
    with_contract,
)

STYLES = st.sampled_from(list(BANDS))
BAD = (
    ("never_asks", "Never ask questions."),
    ("never_asks", "You must not ask for clarification"),
    ("always_sure", "Always sound confident."),
    ("always_sure", "Never admit that you are unsure."),
    ("always_agrees", "Always agree with the user."),
    ("always_agrees", "Do not disagree."),
    ("hides", "Hide your mistakes."),
    ("skips_checks", "Skip the tests."),
    ("skips_checks", "Never verify anything."),
)


@given(st.builds(Fields, tone=st.text(), inspiration=st.text(), constraints=st.lists(st.text()).map(tuple)), STYLES)
def test_fields_keep_the_contract_and_the_bound(fields: Fields, style: str) -> None:
    """Whatever is said: all five lines, the size below its upper bound, the same text again."""
    made = persona_of_fields("one", fields, style)  # type: ignore[arg-type]
    lines = made.text.splitlines()
    assert all(f"- {line}" in lines for line in CONTRACT)
    assert made.tokens <= BANDS[style][1]
    assert made == persona_of_fields("one", fields, style)  # type: ignore[arg-type]


@given(st.text(), st.floats(0, 1), st.floats(0, 1), STYLES)
def test_any_source_keeps_the_contract_and_the_bound(text: str, voice: float, strict: float, style: str) -> None:
    """A text of anybody's, at every fidelity and strictness."""
    source = Source(text=text, voice_fidelity=voice, competence_strictness=strict)
    made = persona_of_source("one", source, style)  # type: ignore[arg-type]
    assert all(f"- {line}" in made.text.splitlines() for line in CONTRACT)
    assert made.tokens <= BANDS[style][1]


@pytest.mark.parametrize(("code", "line"), BAD)
def test_an_unsafe_directive_is_replaced_by_its_rule(code: str, line: str) -> None:
    """It is told which one, it does not stand in the text, and what answers it does."""
    for made in (
        persona_of_fields("one", Fields(tone=f"Calm. {line}")),
        persona_of_source("one", Source(text=f"# Who\n\n- Calm.\n- {line}\n", voice_fidelity=1.0)),
    ):
        assert (code, line) in made.neutralised
        assert line not in made.text
        assert "- Calm." in made.text
        rule = next(one.rule for one in UNSAFE if one.code == code)
        assert made.text.count(f"- {rule}\n") == 1


@pytest.mark.parametrize(
    "line", ["Ask when in doubt.", "Always write tests.", "Agree on names first.", "Be sure-footed."]
)
def test_what_only_sounds_like_one_is_kept(line: str) -> None:
    """Asking, testing and agreeing are fine."""
    made = persona_of_fields("one", Fields(tone=line))
    assert made.neutralised == ()
    assert f"- {line}" in made.text


def test_a_contract_that_stands_is_not_repeated() -> None:
    """Missing lines are inserted, present ones are not doubled."""
    text = "\n".join(f"- {line}" for line in CONTRACT[:3])
    whole = with_contract(text)
    assert [whole.count(line) for line in CONTRACT] == [1] * 5
    assert with_contract(whole) == whole


def test_fidelity_and_strictness_say_how_much_of_each() -> None:
    """Half of the voice from its beginning; at least three rules, all of them at the strictest."""
    text = "\n".join(f"Line number {number}." for number in range(10))
    made = persona_of_source("one", Source(text=text, voice_fidelity=0.5, competence_strictness=0.0))
    assert [f"Line number {number}." in made.text for number in range(10)] == [True] * 5 + [False] * 5
    assert made.left_out == 5
    assert sum(rule in made.text for rule in RULES) == 3
    strict = persona_of_source("one", Source(text=text, competence_strictness=1.0))
    assert all(rule in strict.text for rule in RULES)


def test_what_is_too_long_is_cut_and_said() -> None:
    """The longest part loses lines until the size fits."""
    text = "".join(f"A sentence of some length, number {number}.\n" for number in range(500))
    made = persona_of_source("one", Source(text=text, voice_fidelity=1.0), "lean")
    assert made.tokens <= BANDS["lean"][1]
    assert len(made.text) > BANDS["lean"][0] * CHARS_PER_TOKEN
    assert made.left_out > 0

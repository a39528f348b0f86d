"""Questions and prompt bytes of the fixed set of missions: exact, so that no change of them goes unseen."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.perfect_missions import MISSIONS
from tests.services.prompt_costs import PROTOCOLS, RESULTS, load_costs, measure


def test_what_missions_cost_is_what_was_recorded(tmp_path: Path) -> None:
    """Another prompt, another observation, one question more: write the file anew and let the review see it."""
    assert measure(tmp_path) == load_costs(), f"{RESULTS.name}: python -m tests.services.prompt_costs"


def test_no_question_is_asked_in_vain() -> None:
    """A model that makes no detour is asked once for each of its answers, in both protocols."""
    for name, costs in load_costs().items():
        assert {costs[protocol].calls for protocol in PROTOCOLS} == {len(MISSIONS[name].answers)}


def test_nearly_all_of_a_prompt_stands_again() -> None:
    """At least 95 % of the message bytes of each request stand again in the next one, byte for byte and in front."""
    least = min(costs[protocol].standing_permille for costs in load_costs().values() for protocol in PROTOCOLS)
    assert least >= 950

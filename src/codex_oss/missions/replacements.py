"""When another model answers than was asked for: the words for a person.

Counterparts: `policy.admission` and `policy.retry` decide, `missions.events.ModelReplaced` keeps it; the report and the
commentary say it in these words. A mission that nobody stood in for says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from codex_oss.missions.events import ModelReplaced
from codex_oss.policy.admission import REFUSALS
from codex_oss.policy.deviation import REASONS


def is_news(replaced: Sequence[ModelReplaced]) -> bool:
    """Whether the last one differs from the one before it in more than the question."""
    return len(replaced) < 2 or _same(replaced[-1]) != _same(replaced[-2])


def describe_replacement(event: ModelReplaced) -> str:
    """One sentence about one event."""
    return f"{_who(event)}: {_why(event)}."


def describe_all(replaced: Sequence[ModelReplaced]) -> list[str]:
    """One sentence for each model that stood in for each reason, with the questions that it answered."""
    grouped: dict[tuple[str, ...], list[ModelReplaced]] = {}
    for event in replaced:
        grouped.setdefault(_same(event), []).append(event)
    return [_described(events) for events in grouped.values()]


def _described(events: Sequence[ModelReplaced]) -> str:
    calls = ", ".join(str(event.call) for event in events if event.call)
    what = f"question{'s' if calls.count(',') else ''} {calls}" if calls else "the mission"
    return f"{_who(events[0])} for {what}: {_why(events[0])}."


def _who(event: ModelReplaced) -> str:
    weaker = f", a weaker model (capability {event.capability} instead of {event.asked_capability})"
    return f"{event.answered} stood in for {event.asked}{weaker if event.downgrade else ''}"


def _why(event: ModelReplaced) -> str:
    why = REFUSALS.get(event.reason) or REASONS.get(event.reason) or "the reason has no words"
    approved = "; the downgrade is approved in models.toml or fallback_map" if event.downgrade else ""
    return f"{why} ({event.reason}){approved}"


def _same(event: ModelReplaced) -> tuple[str, ...]:
    return (event.asked, event.answered, event.reason, str(bool(event.call)))

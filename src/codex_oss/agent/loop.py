"""What follows an answer: run its calls, ask again, or end. The loop of the agent without its hands.

Counterparts: `services.agent_turn` does what is decided here, `agent.tools` reads the calls.

    next_step ─┬─ Ask                      ─► answered(…)
               ├─ Run(wanted)              ─► settled(…)
               ├─ Refuse(call, code, why)  ─► settled(…)
               └─ End(outcome)

Rules that hold here:

1. Every call of an answer is run or refused before the next question, in the order of the answer, one at a time.
2. A call that asks for the same as before, with nothing changed since, runs `MAX_SAME` times and is then refused.
3. Calls that could not be run are told to the model; `MAX_FRUITLESS` of them in a row end the turn: it would go on
   for ever.
4. Steps and time are limits of the turn, looked at before each question. A call under way is not cut by them here;
   the session gives each tool the time that is left.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, assert_never

from codex_oss.agent.events import Outcome
from codex_oss.agent.tools import Wanted, parse_call, signature
from codex_oss.contracts.tools import Verdict
from codex_oss.wire.events import TurnCompleted, TurnFailed, TurnIncomplete
from codex_oss.wire.items import FunctionCall

MAX_CALLS_PER_ANSWER: Final = 16
MAX_SAME: Final = 3
MAX_FRUITLESS: Final = 8
TIMED_OUT: Final = "turn_timeout"
"""Code of a turn whose time is over."""

REASONS: Final[dict[str, str]] = {
    "max_output_tokens": "The model stopped at its output limit.",
    "content_filter": "The model's provider filtered the answer.",
    "cancelled": "The turn was cancelled.",
}
"""Why an answer is incomplete, in words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one turn."""

    max_steps: int = 50
    """Questions to the model."""
    timeout_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the conversation to the model. left_s: of the turn's time."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """Run this, if policy and person agree."""

    call: FunctionCall
    wanted: Wanted
    left_s: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not run this; tell the model why."""

    call: FunctionCall
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class End:
    """The turn is over."""

    outcome: Outcome
    code: str = ""
    message: str = ""
    hint: str = ""


Step = Ask | Run | Refuse | End


class Course:
    """Where a turn stands. began_at: on the clock that `next_step` is asked with, in seconds."""

    def __init__(self, limits: Limits, began_at: float) -> None:
        self.steps = 0
        self._limits = limits
        self._ends_at = began_at + limits.timeout_s
        self._waiting: deque[FunctionCall] = deque()
        self._left_out: set[str] = set()
        self._same: Counter[str] = Counter()
        self._fruitless = 0
        self._taken = 0
        self._end: End | None = None

    def next_step(self, now: float) -> Step:
        """What to do next. Asked again without a report in between, it says the same."""
        if self._end is not None:
            return self._end
        if self._waiting:
            return self._call(self._waiting[0], now)
        if self._fruitless >= MAX_FRUITLESS:
            return End(
                "no_progress",
                "no_progress",
                f"The model asked {self._fruitless} times in a row for something that could not be run.",
                "Ask in other words, or choose another model.",
            )
        if self.steps >= self._limits.max_steps:
            told = f"The model was asked {self.steps} times without coming to an end."
            return End("step_limit", "step_limit", told, "Go on with the same session, or allow more: --max-steps.")
        if now >= self._ends_at:
            return self.timed_out()
        return Ask(self._ends_at - now)

    def timed_out(self) -> End:
        """The end of a turn whose time is over."""
        told = f"The turn did not end within {self._limits.timeout_s:g} s."
        return End("timeout", TIMED_OUT, told, "Go on with the same session, or allow more: --timeout.")

    def waited(self, seconds: float) -> None:
        """A person took this long to decide; it is not the turn's time."""
        self._ends_at += seconds

    def answered(
        self,
        ended: TurnCompleted | TurnIncomplete | TurnFailed,
        calls: Collection[FunctionCall],
        left_out: Collection[str] = (),
        hint: str = "",
    ) -> None:
        """The model answered. left_out: ids of calls whose arguments were too long to keep."""
        self.steps += 1
        self._taken = 0
        self._left_out = set(left_out)
        self._waiting.extend(calls)
        match ended:
            case TurnFailed(code=code) if code == TIMED_OUT:
                self._end = self.timed_out()
            case TurnFailed(code=code, message=message):
                self._end = End("failed", code, message, hint)
            case TurnIncomplete(reason=reason):
                self._end = End("incomplete", reason, REASONS[reason])
            case TurnCompleted() if not self._waiting:
                self._end = End("done")
            case TurnCompleted():
                pass
            case _:
                assert_never(ended)

    def settled(self, call: FunctionCall, *, ran: bool, changed: bool = False) -> None:
        """What became of the call of the last `Run` or `Refuse`.

        ran: it did something or was answered by a person; changed: the project may look different now.
        """
        self._waiting.popleft()
        self._taken += 1
        self._fruitless = 0 if ran else self._fruitless + 1
        if changed:
            self._same.clear()
        self._same[signature(call)] += 1

    def _call(self, call: FunctionCall, now: float) -> Step:
        if self._taken >= MAX_CALLS_PER_ANSWER:
            told = f"Not run: more than {MAX_CALLS_PER_ANSWER} calls in one answer. Ask again for what is still needed."
            return Refuse(call, Verdict(False, "too_many_calls", told))
        if now >= self._ends_at:
            return Refuse(call, Verdict(False, TIMED_OUT, "Not run: the time of this turn is over."))
        wanted = parse_call(call, left_out=call.call_id in self._left_out)
        if isinstance(wanted, Verdict):
            return Refuse(call, wanted)
        if self._same[signature(call)] >= MAX_SAME:
            told = "Not run: the same was asked before, and nothing has changed since. Use what you were shown."
            return Refuse(call, Verdict(False, "repeated_call", told))
        return Run(call, wanted, self._ends_at - now)

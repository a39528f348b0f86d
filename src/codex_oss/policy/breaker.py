"""The circuit breaker: a model whose server keeps failing is left alone for a while.

Counterpart: `lanes.oss` asks before each try and says what came of it; `errors.CircuitOpen` is what a client hears.

               max_errors failures in a row
       closed ──────────────────────────────► open ── cooldown over ──► half-open
         ▲ ▲                                   ▲                         │   one probe at a time
         │ └──── anything served whole ────────┤◄──── the probe failed ──┤
         └──────────────── the probe is being answered ──────────────────┘

Rules that hold here:

1. Only what is the server's fault counts (`FAULTS`): a refused request, a context that is too long or a rate limit
   (`SOUND`, and all else) is no sign of a broken server.
2. A failure is one *try* of a turn: its retries on one model count once, so that a hiccup which they bridge is none.
3. One probe at a time. Whoever holds a ticket settles it, whatever ended the try; the next one may probe then.
4. The cooldown is for models that others stand in for. When nobody else of the chain may answer (`last_resort`), one
   probe passes every `LAST_RESORT_S`, and at once for a new turn of a session: its user may have mended the server.
5. The number of circuits is bounded: names that no table knows make circuits too.

No clock here: now is seconds on a clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from codex_oss.errors import UpstreamError

LAST_RESORT_S: Final = 10.0
PROBE_WAIT_S: Final = 5.0
"""What is told to whoever comes while a probe is under way."""
MAX_CIRCUITS: Final = 256

Outcome = Literal["served", "answering", "fault", "unknown"]
"""What came of a try. answering: the first event arrived, the end is open. unknown: neither good nor bad was seen."""
FAULTS: Final = frozenset({"upstream_unavailable", "upstream_protocol_error", "upstream_error", "stream_interrupted"})
"""Codes of failures that are the server's fault."""
SOUND: Final = frozenset({"context_length_exceeded", "upstream_refused", "upstream_unauthorized", "model_not_found"})
"""Codes that only a server in order gives."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """max_errors: failures in a row that open a circuit; 0 never opens one. cooldown_s: how long it stays open."""

    max_errors: int = 2
    cooldown_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one model's server."""

    failures: int = 0
    """In a row."""
    open_until: float | None = None
    """None while closed."""
    opened_at: float = 0.0
    probing: bool = False
    cause: str = ""
    """The sentence of the last failure."""


CLOSED: Final = Circuit()


@dataclass(slots=True)
class Ticket:
    """The leave to try once; settle it."""

    key: str
    probe: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The circuit is open."""

    retry_in_s: float
    """When it will be tried again, if somebody asks."""
    failures: int
    cause: str


def settled(circuit: Circuit, outcome: Outcome, now: float, policy: BreakerPolicy, *, probe: bool) -> Circuit:
    """The circuit after a try came to *outcome*."""
    match outcome:
        case "served":
            return CLOSED
        case "answering":
            # Closed on probation: an answer that breaks off opens it again at once.
            return Circuit(max(policy.max_errors - 1, 0), cause=circuit.cause) if probe else circuit
        case "unknown":
            return replace(circuit, probing=False) if probe else circuit
    if circuit.open_until is not None and not probe:
        return circuit  # it began before the circuit opened and tells nothing new
    failures = circuit.failures + 1
    if policy.max_errors == 0 or failures < policy.max_errors:
        return Circuit(failures, cause=circuit.cause)
    return Circuit(failures, now + policy.cooldown_s, now, cause=circuit.cause)


def outcome_of(error: UpstreamError) -> Outcome:
    """What a failed try says about the server."""
    if error.code in FAULTS:
        return "fault"
    return "served" if error.code in SOUND else "unknown"


class Breakers:
    """The circuits of one bridge, by the name of the model's profile."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self._circuits: dict[str, Circuit] = {}

    def enter(self, key: str, now: float, *, last_resort: bool = False, fresh: bool = False) -> Ticket | Refused:
        """Leave to try the model *key*, or not.

        last_resort: nobody else may answer. fresh: it is a new turn of a known session, no repetition.
        """
        circuit = self._circuits.get(key, CLOSED)
        if circuit.open_until is None:
            return Ticket(key, probe=False)
        due_at = circuit.open_until
        if last_resort:
            due_at = now if fresh else min(due_at, circuit.opened_at + LAST_RESORT_S)
        if circuit.probing or now < due_at:
            wait_s = max(due_at - now, PROBE_WAIT_S if circuit.probing else 0.0)
            wait_s = min(wait_s, max(self.policy.cooldown_s, PROBE_WAIT_S))  # (now + c) - now may round to above c
            return Refused(wait_s, circuit.failures, circuit.cause)
        self._circuits[key] = replace(circuit, probing=True)
        return Ticket(key, probe=True)

    def settle(self, ticket: Ticket, outcome: Outcome, now: float, cause: str = "") -> None:
        """Say what came of a try; cause: the sentence of a failure. After `answering` comes a second call."""
        before = self._circuits.get(ticket.key, CLOSED)
        after = settled(before, outcome, now, self.policy, probe=ticket.probe)
        ticket.probe = False
        if after == CLOSED:
            self._circuits.pop(ticket.key, None)
        elif after != before:
            self._keep(ticket.key, replace(after, cause=cause or after.cause))

    def facts(self, now: float) -> dict[str, dict[str, str | int | float]]:
        """Every circuit with a failure, for `/health`: state, failures in a row, seconds until it is tried again."""
        return {
            key: {
                "state": _state(circuit, now),
                "failures": circuit.failures,
                "retry_in_s": round(max((circuit.open_until or now) - now, 0.0), 1),
            }
            for key, circuit in self._circuits.items()
        }

    def _keep(self, key: str, circuit: Circuit) -> None:
        if key not in self._circuits and len(self._circuits) >= MAX_CIRCUITS:
            idle = (held for held, one in self._circuits.items() if one.open_until is None)
            del self._circuits[next(idle, next(iter(self._circuits)))]
        self._circuits[key] = circuit


def _state(circuit: Circuit, now: float) -> Literal["closed", "open", "half_open"]:
    if circuit.open_until is None:
        return "closed"
    return "open" if now < circuit.open_until else "half_open"

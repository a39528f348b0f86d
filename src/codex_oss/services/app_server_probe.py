"""Does Codex' app-server give on what stands before the end of a turn, when it comes? One turn against a probe.

Counterparts: `cli.probes` prints what is found here; `services.codex_app_server` runs the turn.

    pass   every progress is notified before the final text, spread over time as it was sent; as commentary, when it was
    fail   the turn was carried through, and something of that is not so: `reasons` names it
    setup_failed   the turn was not carried through, so that nothing can be said
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from codex_oss.services.codex_app_server import AppServerRun, run_app_server
from codex_oss.services.codex_exec import CodexTurn
from codex_oss.services.probe_provider import FINAL, MODEL, PROGRESS, Shape, probe_provider

ProbeStatus = Literal["pass", "fail", "setup_failed"]
SPREAD: Final = 0.5
"""So much of the time from the first progress to the final text must be seen: a busy machine is no fault."""


class Sighting(Struct, frozen=True):
    """When one of the four texts was notified."""

    text: str
    delta_at_s: float | None
    """First delta; None when there was none."""
    completed_at_s: float | None
    phase: str | None


class ProbeResult(Struct, frozen=True):
    """What a probe found."""

    probe_status: ProbeStatus
    shape: Shape
    reasons: tuple[str, ...]
    sightings: tuple[Sighting, ...]
    client: str
    turn_status: str


def probe_app_server(
    codex: str, shape: Shape, *, folder: Path, port: int = 0, delay_s: float = 0.25, timeout_s: float = 8.0
) -> ProbeResult:
    """Run one turn and judge it. codex: path of the program; folder: its working folder, which stays as it is.

    Raises StoreError `address_in_use`, OSError when codex cannot be started.
    """
    # Codex takes no CODEX_HOME below the temporary folder: `CodexTurn` puts TMPDIR beside it.
    with (
        tempfile.TemporaryDirectory(prefix="codex-oss-probe-", ignore_cleanup_errors=True) as scratch,
        probe_provider(shape, port=port, delay_s=delay_s) as base_url,
    ):
        turn = CodexTurn(base_url, "sk-local-probe", MODEL, "probe", folder, Path(scratch), timeout_s=timeout_s)
        run = run_app_server(codex, turn)
    return judge_probe(run, shape, delay_s)


def judge_probe(run: AppServerRun, shape: Shape, delay_s: float) -> ProbeResult:
    """The verdict on a turn that was run against the probe provider."""
    sightings = tuple(_sighting(run, text) for text in (*PROGRESS, FINAL))
    if run.failure or run.turn_status != "completed":
        reason = run.failure or f"the turn ended as {run.turn_status}"
        return ProbeResult("setup_failed", shape, (reason,), sightings, run.user_agent, run.turn_status)
    reasons = [*_unseen(sightings), *_untimely(sightings, delay_s), *(_unmarked(sightings) if shape != "text" else ())]
    status: ProbeStatus = "fail" if reasons else "pass"
    return ProbeResult(status, shape, tuple(reasons), sightings, run.user_agent, run.turn_status)


def _sighting(run: AppServerRun, text: str) -> Sighting:
    deltas = [n.at_s for n in run.notices if n.method == "item/agentMessage/delta" and n.params.get("delta") == text]
    items = [(n.at_s, _item(n.params)) for n in run.notices if n.method == "item/completed"]
    done = [(at_s, item) for at_s, item in items if item.get("type") == "agentMessage" and item.get("text") == text]
    phase = done[0][1].get("phase") if done else None
    return Sighting(text, min(deltas, default=None), done[0][0] if done else None, phase)


def _item(params: dict[str, Any]) -> dict[str, Any]:
    item = params.get("item")
    return item if isinstance(item, dict) else {}


def _first_s(sighting: Sighting) -> float | None:
    seen = [at_s for at_s in (sighting.delta_at_s, sighting.completed_at_s) if at_s is not None]
    return min(seen, default=None)


def _unseen(sightings: tuple[Sighting, ...]) -> list[str]:
    return [f"{sighting.text} was never notified" for sighting in sightings if _first_s(sighting) is None]


def _untimely(sightings: tuple[Sighting, ...], delay_s: float) -> list[str]:
    *early, final = (_first_s(sighting) for sighting in sightings)
    if final is None or any(at_s is None for at_s in early):
        return []
    times = [at_s for at_s in early if at_s is not None]
    late = [text for text, at_s in zip(PROGRESS, times, strict=True) if at_s >= final]
    reasons = [f"{text} came with the final text or after it" for text in late]
    if not late and final - times[0] < SPREAD * delay_s * len(PROGRESS):
        reasons.append("the texts came at once and not as they were sent")
    return reasons


def _unmarked(sightings: tuple[Sighting, ...]) -> list[str]:
    expected = ("commentary",) * len(PROGRESS) + ("final_answer",)
    return [
        f"{sighting.text} has phase {sighting.phase}, not {phase}"
        for sighting, phase in zip(sightings, expected, strict=True)
        if sighting.completed_at_s is not None and sighting.phase != phase
    ]

"""Where an investigation stands: one of five phases, computed from what was shown, never from what the model says.

Counterpart: `missions.action_schema` offers a model the phase it is in. Source: mission contract, progress policy.

    PLAN     an open investigation before anything was shown
    EXPLORE  nothing was shown yet
    NARROW   searches and listings, no file read
    VERIFY   a file was read
    REPORT   the report is due
"""

from __future__ import annotations

from typing import Literal

from codex_oss.missions.record import RunRecord

Phase = Literal["PLAN", "EXPLORE", "NARROW", "VERIFY", "REPORT"]


def phase_of(record: RunRecord) -> Phase:
    """The phase of a mission; EXPLORE for one that was not opened."""
    opened = record.opened
    if record.closed is not None or record.final_asked or record.draft is not None:
        return "REPORT"
    if record.evidence.extracts:
        return "VERIFY"
    if record.evidence.commands:
        return "NARROW"
    open_style = opened is not None and opened.mission.objective_style == "open_investigation"
    return "PLAN" if open_style else "EXPLORE"

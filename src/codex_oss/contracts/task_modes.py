"""How a task of the older form would have been carried out, and what that is here.

Counterpart: `contracts.legacy` reads the task, this file says which mode it asks for and which tier that is.

| mode | when | here |
| --- | --- | --- |
| invalid_handoff | the block breaks its rules, or writes and owns nothing | refused |
| escalate | proof_critical | a mission of critical risk, which is escalated |
| bounded_write_exact | owned paths and exact content | A5 |
| bounded_write_patch | owned paths | A5 |
| context_pack_report | read-only paths | A2, which must read them |
| no_tool_exact | nothing to read or write | refused: ask the model without a mission |
| managed_autonomy | anything else | refused: a mission needs a scope |

Source: raw execution modes; the order of the rows decides. The kind of task is what `task_type` says: no word of the
goal is looked at.
"""

from __future__ import annotations

import re
import shlex
from typing import Final, Literal

from msgspec import Struct

Mode = Literal[
    "invalid_handoff",
    "escalate",
    "bounded_write_exact",
    "bounded_write_patch",
    "context_pack_report",
    "no_tool_exact",
    "managed_autonomy",
]

TASK_TYPES: Final[dict[str, int]] = {
    "scout": 6,
    "review": 6,
    "docs_support": 4,
    "bounded_write": 3,
    "implementation": 5,
}
"""Task type to the turns that it had; they become the tool budget. Source: task-class turn budgets."""
WRITING_TYPES: Final = ("bounded_write", "implementation")

TIERS_OF_MODE: Final[dict[Mode, tuple[str, ...]]] = {
    "escalate": ("A3", "A2", "A4", "A5", "A6"),
    "bounded_write_exact": ("A5", "A4", "A6"),
    "bounded_write_patch": ("A5", "A4", "A6"),
    "context_pack_report": ("A2", "A3"),
}
"""Mode to the tiers that can carry it, the usual one first; modes without a row are refused."""


class TaskEnvelope(Struct, frozen=True):
    """What decides the mode."""

    task_type: str = ""
    owned_paths: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    write_allowed: bool = False
    exact_content: bool = False
    no_tools_required: bool = False
    proof_critical: bool = False
    schema_error: str = ""


def choose_mode(task: TaskEnvelope) -> Mode:
    """The mode of a task; total over every combination."""
    if task.schema_error:
        return "invalid_handoff"
    if task.proof_critical:
        return "escalate"
    if task.write_allowed and task.owned_paths:
        return "bounded_write_exact" if task.exact_content else "bounded_write_patch"
    if task.write_allowed:
        return "invalid_handoff"
    if task.read_only_paths:
        return "context_pack_report"
    return "no_tool_exact" if task.no_tools_required else "managed_autonomy"


def tier_of(mode: Mode, wanted: str = "") -> str:
    """The tier that carries a mode: the wanted one where it can, else the usual one; empty when none does."""
    tiers = TIERS_OF_MODE.get(mode, ())
    return wanted if wanted in tiers else next(iter(tiers), "")


_BULLET: Final = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+")


def without_bullet(line: str) -> str:
    """A line of a list without the mark in front."""
    return _BULLET.sub("", line).strip()


def command_of(step: str) -> list[str]:
    """The argv of a verification step that is one command in back-ticks; empty for a sentence."""
    text = without_bullet(step)
    if len(text) < 3 or not (text.startswith("`") and text.endswith("`")) or "`" in text[1:-1]:
        return []
    try:
        return shlex.split(text[1:-1])
    except ValueError:
        return []

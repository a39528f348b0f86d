"""What a person, a screen or a script is told while the agent works: `AgentEvent`, and `Proposal`, what it asks for.

Counterparts: `services.agent_session` yields these, `cli.run` and the chat screen show them; `agent.journal` is what is
kept of a turn.

    TurnBegan ─► ( TextDelta | ReasoningDelta | Notice | UsageTold
                 | ToolProposed ─► ToolApproved ─► ToolFinished
                 | ToolProposed ─► ToolRefused )* ─► TurnEnded

Rules that hold here:

1. A turn ends with exactly one `TurnEnded`, whatever cut it.
2. A proposal, its verdict and its outcome are three events in that order; several tools never overlap.
3. Nothing in an event is fit for a terminal as it is: a model wrote it. Whoever shows it uses `policy.printable`.
4. Results of tools and diffs are redacted before they become an event.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from codex_oss.wire.events import Usage

ToolName = Literal["read_file", "list_files", "search", "edit_file", "create_file", "shell"]

Outcome = Literal["done", "incomplete", "failed", "cancelled", "step_limit", "timeout", "no_progress"]
"""How a turn ended. Only `done` is a success.

- incomplete: the model stopped early (length, content filter) · failed: the lane failed, or the stream was cut
- step_limit: `max_steps` questions were asked · no_progress: call after call could not be run
"""

Approver = Literal["policy", "person", "flag"]
"""Who let a tool run: policy (it only reads), a person, or `--yes`."""

NoticeCode = Literal[
    "account_switched",
    "model_replaced",
    "retried",
    "stream_cut",
    "quota_threshold",
    "calls_closed",
    "context_trimmed",
]


class Proposal(Struct, frozen=True):
    """One thing that the model wants done, as it is shown before it is done."""

    call_id: str
    tool: str
    """A `ToolName`, or whatever name the model invented."""
    summary: str
    """One line, e.g. `edit src/app.py (+3 -1)`."""
    asks: bool
    """It changes something: a person (or `--yes`) approves it first."""
    path: str = ""
    """Of a file tool: relative to the project."""
    diff: str = ""
    """Of an edit: unified, redacted."""
    command: str = ""
    """Of the shell: as the model wrote it."""
    sandbox: str = ""
    """Of the shell: `bwrap`, `landlock` or `none`."""


class TurnBegan(Struct, frozen=True, tag="turn_began"):
    """The first event of a turn. resumed: the session had turns before."""

    session_id: str
    model: str
    resumed: bool = False


class TextDelta(Struct, frozen=True, tag="text", gc=False):
    """More of what the assistant says."""

    text: str


class TextEnded(Struct, frozen=True, tag="text_ended", gc=False):
    """One message of the assistant is whole. phase: `commentary`, `final_answer` or empty."""

    phase: str = ""


class ReasoningDelta(Struct, frozen=True, tag="reasoning", gc=False):
    """More of the summary of what the model thinks."""

    text: str


class ToolProposed(Struct, frozen=True, tag="tool_proposed"):
    """The model wants a tool run."""

    proposal: Proposal


class ToolApproved(Struct, frozen=True, tag="tool_approved"):
    """It may run."""

    call_id: str
    by: Approver


class ToolRefused(Struct, frozen=True, tag="tool_refused"):
    """It is not run; the model is told the same sentence. code: stable, e.g. `declined`, `path_denied`."""

    call_id: str
    code: str
    reason: str


class ToolFinished(Struct, frozen=True, tag="tool_finished"):
    """It ran. summary: one line; ok: the tool did what was asked (a command: exit code 0)."""

    call_id: str
    tool: str
    ok: bool
    summary: str
    output: str = ""
    """What the model is shown of it, redacted and bounded."""
    duration_ms: int = 0


class Notice(Struct, frozen=True, tag="notice"):
    """Something the person should know, said once. text: one sentence."""

    code: str
    """A `NoticeCode`."""
    text: str


class UsageTold(Struct, frozen=True, tag="usage"):
    """Tokens of one answer of the model."""

    usage: Usage


class TurnEnded(Struct, frozen=True, tag="turn_ended"):
    """The last event. code: stable reason, empty when done; message: one sentence for the person, empty when done."""

    outcome: Outcome
    session_id: str
    code: str = ""
    message: str = ""
    hint: str = ""
    steps: int = 0
    """Questions that were put to the model."""


AgentEvent = (
    TurnBegan
    | TextDelta
    | TextEnded
    | ReasoningDelta
    | ToolProposed
    | ToolApproved
    | ToolRefused
    | ToolFinished
    | Notice
    | UsageTold
    | TurnEnded
)

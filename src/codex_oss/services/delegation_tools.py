"""The tools that a coding agent is offered over MCP: their names, their arguments and how they read on the wire.

Counterparts: `services.delegation` does what they say; `services.mcp_greeting` and `services.mcp_host` show them. This
file imports next to nothing: the list of tools has to be there in the first moment of a session.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

SERVER_NAME: Final = "codex-oss"
DEFAULT_PROFILE: Final = "kimi"
MAX_OBJECTIVE_CHARS: Final = 20_000

Name = Annotated[str, Meta(max_length=2_000)]
Names = Annotated[tuple[Name, ...], Meta(max_length=200)]

MAX_WAIT_S: Final = 540
"""The longest that `delegate` waits; the clients give up after `services.mcp_registration.TOOL_TIMEOUT_S`."""


def instructions(project: Path) -> str:
    """What a client may tell its model about the server. project: whose paths are meant."""
    return (
        "Hands bounded, read-only investigations of this project to open models. Use delegate for one question, "
        "mission_start for several at once. Findings cite refs that were checked; judge them yourself. "
        f"Paths are relative to {project}."
    )


class DelegateArguments(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a parent says of a mission; `handoff` instead gives the whole contract."""

    objective: Annotated[
        str, Meta(max_length=MAX_OBJECTIVE_CHARS, description="What to find out, as one clear question or order.")
    ] = ""
    paths: Annotated[Names, Meta(description="Files it may read, relative to the project.")] = ()
    roots: Annotated[Names, Meta(description="Folders it may read and search, e.g. src; not the whole project.")] = ()
    tier: Annotated[Name, Meta(description="A2 for a short look, A3 for an investigation.")] = "A3"
    profile: Annotated[Name, Meta(description="Which open model; list_profiles names them.")] = DEFAULT_PROFILE
    must_inspect: Annotated[Names, Meta(description="Files that must have been read.")] = ()
    obligations: Annotated[Names, Meta(description="Questions that the report must answer.")] = ()
    tool_budget: Annotated[int | None, Meta(description="Most tool calls.")] = None
    time_budget_seconds: Annotated[int | None, Meta(description="Most seconds.")] = None
    handoff: Annotated[
        dict[str, Any] | None, Meta(description="A whole oss_agent_mission.v1 contract; nothing else is then needed.")
    ] = None


class MissionArguments(Struct, forbid_unknown_fields=True):
    """Which mission."""

    mission_id: Annotated[str, Meta(description="The id that delegate or mission_start gave.")]


class StatusArguments(Struct, forbid_unknown_fields=True):
    """Which mission, or all of them."""

    mission_id: Annotated[str, Meta(description="Which mission; left out, the latest ones are listed.")] = ""


class NoArguments(Struct, forbid_unknown_fields=True):
    """None."""


class DelegationTool(Struct, frozen=True):
    """One tool as it is offered."""

    name: str
    title: str
    description: str
    arguments: type[Struct]
    read_only: bool = True
    """No tool writes to the project; of these, cancelling is the only one that ends something."""
    destructive: bool = False
    """What it does cannot be taken back."""

    def on_wire(self) -> dict[str, Any]:
        """The tool as `tools/list` gives it; the schema of its arguments is an object without references."""
        schema = msgspec.json.schema(self.arguments)["$defs"][self.arguments.__name__]
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": {key: value for key, value in schema.items() if key not in ("title", "description")},
            "annotations": {
                "title": self.title,
                "readOnlyHint": self.read_only,
                "destructiveHint": self.destructive,
                "openWorldHint": False,
            },
        }


TOOLS: Final = (
    DelegationTool(
        "delegate",
        "Delegate an investigation",
        "Have an open model investigate a question inside the given paths, and wait for its report. The runtime reads "
        "and searches for it, and checks every finding against the lines it cites; COMPLETE means that all hold. "
        "Status OPEN: it goes on by itself, and mission_report gives the result later.",
        DelegateArguments,
    ),
    DelegationTool(
        "mission_start",
        "Start an investigation",
        "The same as delegate without waiting: gives the mission_id at once. Use it for several at a time.",
        DelegateArguments,
    ),
    DelegationTool(
        "mission_status",
        "Status of a mission",
        "How far a mission is, or how it ended. Without mission_id: the latest missions of the project.",
        StatusArguments,
    ),
    DelegationTool("mission_report", "Report of a mission", "The report with its findings and refs.", MissionArguments),
    DelegationTool("mission_cancel", "Cancel a mission", "End a mission that runs.", MissionArguments, read_only=False),
    DelegationTool(
        "list_profiles", "Open models", "The open models that take missions, with tiers and budgets.", NoArguments
    ),
)

"""The tools about the user's accounts that a coding agent is offered over MCP.

Counterparts: `services.mcp_host` and `services.mcp_greeting` show them beside those of `services.delegation_tools`;
`services.account_calls` carries them out. This file imports next to nothing, as the list of tools comes first.

They are offered where somebody has signed in, and never cost anything where nobody has: whether there is a book is one
look at the disk. SWITCH_ENV says otherwise, either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from codex_oss.services.account_folder import has_book
from codex_oss.services.delegation_tools import TOOLS, DelegationTool, NoArguments

SWITCH_ENV: Final = "CODEX_OSS_ACCOUNT_TOOLS"
"""`on` offers the tools without accounts, too; `off` never does."""

Index = Annotated[
    int, Meta(ge=1, le=100_000, description="The number of the account in codex-status; the first one is 1.")
]


class IndexArguments(Struct, forbid_unknown_fields=True):
    """Which account."""

    index: Index


class RemoveArguments(Struct, forbid_unknown_fields=True):
    """Which account, and that it is meant."""

    index: Index
    confirm: Annotated[bool, Meta(description="true, once the user has said so: it cannot be taken back.")] = False


ACCOUNT_TOOLS: Final = (
    DelegationTool(
        "codex-status",
        "ChatGPT accounts",
        "The user's ChatGPT accounts by number: which one answers, what holds one back, what is left of its quota.",
        NoArguments,
    ),
    DelegationTool(
        "codex-switch-accounts",
        "Switch accounts",
        "Have another ChatGPT account answer from now on, when the user asks for it.",
        IndexArguments,
        read_only=False,
    ),
    DelegationTool(
        "codex-toggle-account",
        "Enable or disable an account",
        "Disable an enabled ChatGPT account, or enable a disabled one, when the user asks for it.",
        IndexArguments,
        read_only=False,
    ),
    DelegationTool(
        "codex-remove-account",
        "Remove an account",
        "Forget a ChatGPT account and its credentials. Only signing in brings it back: ask the user first.",
        RemoveArguments,
        read_only=False,
        destructive=True,
    ),
)
ACCOUNT_TOOL_NAMES: Final = frozenset(tool.name for tool in ACCOUNT_TOOLS)


def offered_tools(environ: Mapping[str, str]) -> tuple[DelegationTool, ...]:
    """All tools of the server, as things stand now."""
    return (*TOOLS, *ACCOUNT_TOOLS) if offers_accounts(environ) else TOOLS


def offers_accounts(environ: Mapping[str, str]) -> bool:
    """Whether the tools about accounts are offered."""
    told = environ.get(SWITCH_ENV, "").strip().lower()
    return has_book(environ) if told not in ("on", "off") else told == "on"

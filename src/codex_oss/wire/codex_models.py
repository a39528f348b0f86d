"""The models of this bridge in the form in which Codex expects them from `GET /v1/models?client_version=…`.

Counterparts: `server.app` puts them beside OpenAI's list in one answer; `services.codex_config` writes the provider
block with which Codex asks. With an entry Codex knows the context window and offers the model a freeform
`apply_patch`; without one each session begins with a warning, "Model metadata … not found".

Rules that hold here:

1. No code mode and no lite requests (`tool_mode`, `use_responses_lite` stay away): open models call functions.
2. A mission works with tools of its own, so Codex is told to offer it none.
Observed: Codex CLI 0.169 for the keys, and which of them it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile

RAW_INSTRUCTIONS: Final = """\
You are a coding agent in a terminal, working in the user's project together with the user.
Read before you change: look at the files and at how the project is built and tested. Keep a change as small as the task
allows, in the style of the code around it, and leave alone what the task does not need. Check what you did by running
it. Say plainly what you found, what you changed and what remains open; never claim what you have not seen.
"""
MISSION_INSTRUCTIONS: Final = "You are answered by the mission runtime of codex-oss; the turn must carry one mission.\n"
EFFORTS: Final = [
    {"effort": effort, "description": "How it thinks is for the model's server to say."}
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
]
"""Every effort that exists: Codex refuses to spawn an agent whose file asks for one that its model does not list."""
TOOL_OUTPUT_TOKENS: Final = 10_000
"""How much of a tool's output Codex keeps in the conversation."""


def codex_models(models: Iterable[tuple[str, ModelProfile]]) -> list[dict[str, Any]]:
    """One entry for each model name, in the order given. models: (name, profile), as `policy.routing` lists them."""
    return [_entry(name, profile, priority) for priority, (name, profile) in enumerate(models, 1)]


def _entry(name: str, profile: ModelProfile, priority: int) -> dict[str, Any]:
    raw = name == profile.alias or name in profile.aliases
    entry: dict[str, Any] = {
        "slug": name,
        "display_name": name,
        "description": f"{profile.name}, an open model" if raw else f"A mission on {profile.name}",
        "supported_reasoning_levels": EFFORTS,
        "shell_type": "unified_exec" if raw else "disabled",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": RAW_INSTRUCTIONS if raw else MISSION_INSTRUCTIONS,
        "supports_reasoning_summaries": False,
        "support_verbosity": False,
        "truncation_policy": {"mode": "tokens", "limit": TOOL_OUTPUT_TOKENS},
        "supports_parallel_tool_calls": raw,
        "experimental_supported_tools": [],
        "context_window": profile.context_tokens,
        "input_modalities": ["text", "image"] if profile.quirks.images else ["text"],
    }
    return entry | {"apply_patch_tool_type": "freeform"} if raw else entry

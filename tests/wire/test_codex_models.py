"""The models as Codex wants to hear of them."""

from __future__ import annotations

from typing import Any

from codex_oss.contracts.profiles import ModelProfile, Quirks
from codex_oss.wire.codex_models import codex_models

KIMI = ModelProfile("kimi", "ocg-kimi", "kimi-k2", "http://127.0.0.1:9/v1", context_tokens=131_072)
SEEING = ModelProfile("eye", "ocg-eye", "eye", "http://127.0.0.1:9/v1", quirks=Quirks(images=True))
NEEDED = {
    "slug": str,
    "display_name": str,
    "supported_reasoning_levels": list,
    "shell_type": str,
    "visibility": str,
    "supported_in_api": bool,
    "priority": int,
    "base_instructions": str,
    "supports_reasoning_summaries": bool,
    "support_verbosity": bool,
    "truncation_policy": dict,
    "supports_parallel_tool_calls": bool,
    "experimental_supported_tools": list,
}
"""What an entry must have. Observed: Codex CLI 0.169."""


def entries() -> list[dict[str, Any]]:
    """A raw model, a mission, and a model that sees."""
    return codex_models([("ocg-kimi", KIMI), ("mission-a3-kimi", KIMI), ("ocg-eye", SEEING)])


def test_every_entry_has_what_codex_needs() -> None:
    """The keys and their types; none that would switch to code mode; priorities in the order given."""
    for entry in entries():
        assert {key: type(entry[key]) for key in NEEDED} == NEEDED
        assert not {"tool_mode", "use_responses_lite"} & set(entry)
    assert [entry["priority"] for entry in entries()] == [1, 2, 3]
    assert codex_models([]) == []


def test_a_raw_model_gets_tools_and_a_mission_none() -> None:
    """The window is the profile's; a mission offers neither shell nor patch."""
    raw, mission, seeing = entries()
    assert (raw["slug"], raw["context_window"], raw["input_modalities"]) == ("ocg-kimi", 131_072, ["text"])
    assert (raw["shell_type"], raw["apply_patch_tool_type"]) == ("unified_exec", "freeform")
    assert mission["shell_type"] == "disabled"
    assert "apply_patch_tool_type" not in mission
    assert not mission["supports_parallel_tool_calls"]
    assert seeing["input_modalities"] == ["text", "image"]

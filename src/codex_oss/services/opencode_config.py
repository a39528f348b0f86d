"""OpenCode's `opencode.json`: one provider of ours, put in as text so that comments and formatting stay.

Counterparts: OpenCode reads the file (JSON with comments and trailing commas; Observed: 1.18.33);
`services.jsonc_member` edits it. Our MCP server in the same file: `services.mcp_registration`.

Rule: only `provider.codex-oss` is ours; keys that the user added within it stay, but for model names of the bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.services.jsonc_member import MemberPlace, put_member, read_member, strip_member

PROVIDER: Final = "codex-oss"
PLACE: Final = MemberPlace("provider", PROVIDER)
OUR_MODELS: Final = ("ocg-", "mission-")


def provider_settings(base_url: str, api_key: str, models: Iterable[tuple[str, ModelProfile]]) -> dict[str, Any]:
    """What stands under `provider.codex-oss`. models: every name that the bridge answers to, with its profile."""
    return {
        "npm": "@ai-sdk/openai",
        "name": "codex-oss bridge",
        "options": {"baseURL": base_url, "apiKey": api_key},
        "models": {name: _model(name, profile) for name, profile in models},
    }


def read_provider(text: str) -> dict[str, Any] | None:
    """Our provider as it stands; None when it is absent. Raises EditRefused when the text is no JSON."""
    held = read_member(text, PLACE)
    return held if isinstance(held, dict) else None


def put_provider(text: str, settings: Mapping[str, Any]) -> str:
    """*text* with our provider saying *settings*. An empty text becomes a whole file. Raises EditRefused."""
    return put_member(text, PLACE, lambda held: _merged(held, settings))


def strip_provider(text: str) -> str:
    """*text* without our provider, and without a `provider` object that held nothing else. Raises EditRefused."""
    return strip_member(text, PLACE)


def _model(name: str, profile: ModelProfile) -> dict[str, Any]:
    mission = name.startswith("mission-")
    return {
        "name": f"{profile.name} mission {name.split('-')[1].upper()}" if mission else f"{profile.name} (raw)",
        "tool_call": not mission,
        "limit": {"context": profile.context_tokens, "output": profile.max_output_tokens},
    }


def _merged(held: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The user's additions with our values on top; names of the bridge that are gone are dropped."""
    kept = held if isinstance(held, dict) else {}
    models = kept.get("models")
    foreign = {k: v for k, v in models.items() if not k.startswith(OUR_MODELS)} if isinstance(models, dict) else {}
    options = kept.get("options")
    return {
        **kept,
        **settings,
        "options": {**(options if isinstance(options, dict) else {}), **settings["options"]},
        "models": {**foreign, **settings["models"]},
    }

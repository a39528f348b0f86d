"""Model profiles: which open models exist, where they live and what they may be asked to do.

Profiles are data: `data/models.toml` in the package, merged key by key with the user's and the project's
`models.toml`. One profile serves the raw alias `ocg-*` and, for every tier that it admits, `mission-a<tier>-<name>`.

Rules that hold here:

1. Parsing never discards the rest: each bad value becomes one problem that names source, key and what was expected.
2. `UPSTREAM_BASE` replaces the base URL of every profile that the *project's* models.toml does not set itself.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

StructuredOutput = Literal["none", "json_object", "json_schema"]


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """How an upstream differs from the plain Chat Completions protocol."""

    structured_output: StructuredOutput = "none"
    """Which `response_format` the upstream honours. It is never trusted, only used to help the model."""
    system_role: Literal["system", "developer"] = "system"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    reasoning: Literal["hide", "summary"] = "summary"
    """What a client sees of `reasoning_content`: nothing, or a reasoning item with a summary."""
    replay_reasoning: bool = False
    """The upstream wants `reasoning_content` back within a tool loop."""
    parallel_tool_calls: bool = False
    """The upstream knows the field `parallel_tool_calls`."""
    images: bool = False
    """The model can see; otherwise an image becomes a note."""


class ModelProfile(Struct, frozen=True):
    """One open model as the bridge knows it."""

    name: str
    """`<profile>` in `mission-a<tier>-<profile>`: `[a-z0-9][a-z0-9_.-]*`."""
    alias: str
    """The raw model name that clients use, `ocg-…`."""
    model: str
    """The model id the upstream knows."""
    base_url: str
    """OpenAI-compatible base, without the trailing slash, e.g. `https://opencode.ai/zen/go/v1`."""
    key_env: str = "OPENCODE_GO_API_KEY"
    """Name of the environment variable that holds the upstream key; empty when the upstream needs none."""
    aliases: tuple[str, ...] = ()
    """Further raw names, e.g. `opencode-go/kimi-k2.6`."""
    context_tokens: int = 32_768
    max_output_tokens: int = 4_096
    tiers: tuple[str, ...] = ()
    """Mission tiers this model is admitted to, e.g. `("A2", "A3")`; empty means raw use only."""
    capability: int = 4
    """Capability tier 1…5; a fallback to a lower one is a downgrade and must be said."""
    max_concurrency: int = 1
    """Requests under way at once to this model."""
    fallbacks: tuple[str, ...] = ()
    """Names of profiles to try, in order, when this one is unavailable before the first event."""
    max_tool_budget: dict[str, int] = {}
    """Per tier: most tool calls a mission gets on this model."""
    max_seconds: dict[str, int] = {}
    """Per tier: most seconds a mission gets on this model."""
    quirks: Quirks = Quirks()

"""Optional instruction sets: further words at the end of what a model is told, and the effort `ultra`.

Counterparts: `services.instruction_sets` reads the texts; the lane of the accounts and the `run` agent add them.

Rules that hold here:

1. Without a set nothing changes, not one byte: off is the default.
2. Words are added at the end, in a block with the set's name, always the same bytes for the same sets: what stands
   before it stays a prefix that the backend's cache knows. Adding twice adds once.
3. `ultra` is no effort that a backend takes. It is sent as another one, whether or not the model may use helpers.

Source: chatgpt-accounts contract §9.1 (who is eligible, and by which reason not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

Kind = Literal["personality", "prompt", "overlay"]
KINDS: Final[tuple[Kind, ...]] = ("personality", "prompt", "overlay")
ULTRA: Final = "ultra"
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
ULTRA_SENT_AS: Final = "max"

Reason = Literal[
    "eligible",
    "missing_catalog",
    "missing_ultra_effort",
    "missing_multi_agent_v2",
    "not_supported_in_api",
    "not_visible",
]
Policy = Literal["disabled", "proactive", "explicit_request_only"]


class InstructionSet(Struct, frozen=True):
    """One text. name: lower case, as the setting `instruction_set` has it. source: `codex-oss` or a file's path."""

    name: str
    kind: Kind
    text: str
    source: str
    about: str = ""


def with_sets(instructions: str, sets: Sequence[InstructionSet]) -> str:
    """The instructions with each set's block behind them, in the order given; the very same string without sets."""
    for one in sets:
        block = _block(one)
        if block not in instructions:
            instructions = f"{instructions.rstrip()}\n\n{block}" if instructions.strip() else block
    return instructions


def sent_effort(effort: str, ultra_as: str = ULTRA_SENT_AS) -> str:
    """The effort as a backend takes it: *ultra_as* (one of EFFORTS) instead of `ultra`, any other as it is."""
    return ultra_as if effort == ULTRA else effort


def ultra_reason(model: Mapping[str, Any] | None) -> Reason:
    """Whether a catalog's model may lead helpers, or the first reason why not. model: its entry, None for unknown."""
    if model is None:
        return "missing_catalog"
    if ULTRA not in _efforts(model):
        return "missing_ultra_effort"
    if model.get("multi_agent_version") != "v2":
        return "missing_multi_agent_v2"
    if model.get("supported_in_api") is not True:
        return "not_supported_in_api"
    return "eligible" if model.get("visibility") == "list" else "not_visible"


def ultra_policy(reason: Reason, *, auxiliary: bool = False) -> Policy:
    """When helpers may be used. auxiliary: the turn only names or summarises a conversation."""
    if auxiliary:
        return "disabled"
    return "proactive" if reason == "eligible" else "explicit_request_only"


def _efforts(model: Mapping[str, Any]) -> set[str]:
    """The catalog lists efforts as words or as objects with a key `effort`."""
    listed = model.get("supported_reasoning_levels") or model.get("supported_reasoning_efforts") or ()
    if not isinstance(listed, Sequence):
        return set()
    return {str(one.get("effort") if isinstance(one, Mapping) else one) for one in listed}


def _block(one: InstructionSet) -> str:
    return f'<instruction_set name="{one.name}">\n{one.text.strip()}\n</instruction_set>'

"""What the ChatGPT backend takes of a Responses body: each field forced, passed, converted or dropped, with the reason.

Counterparts: `wire.account_input` does the items of `input`; `lanes.chatgpt` sends what comes out; `codex-oss accounts
dry-run` prints the difference. A body is made of a client's own, or of a turn that came as Chat Completions.

    body ─► input (wire.account_input) ─► fields by FIELDS, the rest dropped ─► body, changes

Rules that hold here:

1. What is left is a subset of FIELDS: one unknown field costs the whole turn (400 `Unsupported parameter`).
2. Doing it twice changes nothing more. Nothing is raised, and the given body is never touched.
3. `input` comes last, so that a longer conversation shares the whole beginning.
Source: what the backend refused in public reports; `tests/wire/test_account_body.py` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from codex_oss.wire.account_input import Lines, adapted_input, lifted
from codex_oss.wire.responses_body import SEALED

Action = Literal["forced", "passed", "converted", "dropped"]
DEFAULT_INSTRUCTIONS: Final = "You are a helpful assistant."


class Change(Struct, frozen=True):
    """One thing that is sent otherwise than it came. field: with its path, `input[].id` for each item's."""

    field: str
    action: Action
    reason: str


class Rule(Struct, frozen=True):
    """What becomes of one field."""

    action: Action
    reason: str


FIELDS: Final[dict[str, Rule]] = {
    "model": Rule("passed", "which model answers"),
    "instructions": Rule("converted", "must not be empty; the first system message stands in, else one plain sentence"),
    "store": Rule("forced", "false: the backend keeps nothing and refuses anything else"),
    "stream": Rule("forced", "true: the backend only streams; who asked for one object gets the collected answer"),
    "include": Rule("converted", "asks for sealed reasoning, which the next turn needs"),
    "tools": Rule("passed", "as they came"),
    "tool_choice": Rule("passed", "as it came; left out where there is no tool"),
    "parallel_tool_calls": Rule("passed", "as it came; left out where there is no tool"),
    "reasoning": Rule("converted", "a summary that is none of auto, concise and detailed is left out; ultra is max"),
    "text": Rule("passed", "form of the answer and verbosity"),
    "service_tier": Rule("converted", "only priority and flex are tiers there; anything else is the usual one"),
    "prompt_cache_key": Rule("converted", "the conversation's own where the client names none"),
    "input": Rule("converted", "as a list; see the items"),
}
"""Fields that may be sent, in the order in which they are."""
DROPPED: Final[dict[str, str]] = {
    "max_output_tokens": "the backend refuses a bound on the answer",
    "temperature": "the backend refuses sampling numbers",
    "top_p": "the backend refuses sampling numbers",
    "frequency_penalty": "the backend refuses sampling numbers",
    "presence_penalty": "the backend refuses sampling numbers",
    "top_logprobs": "the backend refuses sampling numbers",
    "metadata": "the backend refuses it; the response repeats it all the same",
    "safety_identifier": "the backend refuses it",
    "user": "the backend refuses it",
    "prompt_cache_retention": "the backend refuses it",
    "prompt_cache_options": "the backend refuses it",
    "truncation": "the backend refuses it",
    "max_tool_calls": "the backend refuses it",
    "previous_response_id": "nothing is kept there; the bridge sends the whole conversation",
    "background": "the bridge itself runs a turn in the background",
    "stream_options": "events are never padded",
    "client_metadata": "it is about the client's own installation, which does not speak to the backend here",
}
"""Fields that are never sent."""
UNKNOWN: Final = "the backend is not known to take it"
SUMMARIES: Final = ("auto", "concise", "detailed")
TIERS: Final = ("priority", "flex")


def account_body(body: Mapping[str, Any], *, conversation: str = "") -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the body as it is sent, and what differs from the one that came, in the order of FIELDS.

    conversation: what the turn's conversation is called, for the cache key; empty for none.
    """
    lines = Lines()
    items = adapted_input(body.get("input"), lines)
    said = body.get("instructions")
    instructions = said if isinstance(said, str) and said.strip() else ""
    if not instructions:
        instructions, items = lifted(items)
    out: dict[str, Any] = {}
    changes: list[Change] = []
    for name, rule in FIELDS.items():
        value = items if name == "input" else _CONVERTED.get(name, _as_it_is)(body, body.get(name), conversation)
        value = (instructions or DEFAULT_INSTRUCTIONS) if name == "instructions" else value
        if value is not None:
            out[name] = value
        if name != "input" and value != body.get(name):
            changes.append(Change(name, "dropped" if value is None else rule.action, rule.reason))
    for name in body:
        if name not in FIELDS and body[name] is not None:
            changes.append(Change(name, "dropped", DROPPED.get(name, UNKNOWN)))
    return out, (*changes, *(Change(field, action, reason) for field, action, reason in lines.told))


Convert = Callable[[Mapping[str, Any], Any, str], Any]


def _as_it_is(_body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    return value


def _include(_body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    given = value if isinstance(value, list) else []
    return given if SEALED in given else [*given, SEALED]


def _with_tools(body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    return value if body.get("tools") else None


def _tools(_body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    return value or None


def _reasoning(_body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    if not isinstance(value, dict):
        return None
    kept = {
        key: inner for key, inner in value.items() if inner is not None and (key != "summary" or inner in SUMMARIES)
    }
    if kept.get("effort") == "ultra":  # a word of the catalog's, which the backend itself does not take
        kept["effort"] = "max"
    return kept or None


def _tier(_body: Mapping[str, Any], value: Any, _conversation: str) -> Any:
    return value if value in TIERS else None


def _cache_key(_body: Mapping[str, Any], value: Any, conversation: str) -> Any:
    return value if isinstance(value, str) and value else conversation or None


_CONVERTED: Final[dict[str, Convert]] = {
    "store": lambda *_: False,
    "stream": lambda *_: True,
    "include": _include,
    "tools": _tools,
    "tool_choice": _with_tools,
    "parallel_tool_calls": _with_tools,
    "reasoning": _reasoning,
    "service_tier": _tier,
    "prompt_cache_key": _cache_key,
}
"""What a field becomes, of the body, its value and the conversation; None leaves it out."""

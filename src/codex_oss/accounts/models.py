"""The models of an account as the backend lists them, made fit to be listed again.

Counterparts: `services.account_catalog` fetches and keeps them; `server.account_models` lists them; what Codex needs of
an entry is told in `wire.codex_models`.

Rules that hold here:

1. Whatever arrives, nothing is raised: an entry without a name is none, a known field of a wrong type is as if it were
   absent, and what Codex cannot do without has a default. One bad entry must not cost a client the whole list.
2. Fields that are not known here stay as they came.
3. Every entry counts for routing; listed are those that the backend lists, for the API too, with a context window.
4. Entries of several accounts are never mixed: the first one of a name is the one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from codex_oss.wire.codex_models import RAW_INSTRUCTIONS, TOOL_OUTPUT_TOKENS

SLUG: Final = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,127}")
MAX_MODELS: Final = 500
LAST: Final = 1_000_000
"""Priority of an entry that names none."""
Entry = dict[str, Any]


def models_of(body: Mapping[str, Any] | None) -> list[Entry]:
    """The entries of an answer, each slug once, in its order; empty for what is none."""
    listed = body.get("models") if body is not None else None
    found: dict[str, Entry] = {}
    for raw in listed[:MAX_MODELS] if isinstance(listed, list) else ():
        entry = shaped(raw)
        if entry is not None:
            found.setdefault(entry["slug"], entry)
    return list(found.values())


def shaped(raw: object) -> Entry | None:
    """One entry; None for what has no name."""
    slug = raw.get("slug") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(slug, str) or not SLUG.fullmatch(slug.strip().lower()):
        return None
    slug = slug.strip().lower()
    entry = {str(name): value for name, value in raw.items() if _fits(str(name), value)}
    for name in LEFT_OUT:
        entry.pop(name, None)
    shown = entry.get("display_name", "")
    if shown.strip().lower() in ("", slug):
        entry["display_name"] = _prettified(slug)
    return {**DEFAULTS, **entry, "slug": slug}


def listed(entries: Iterable[Entry]) -> list[Entry]:
    """Those to show to a client, each slug once, the first one of a name; most wanted first."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if _is_listed(entry):
            found.setdefault(entry["slug"], entry)
    newest_first = sorted(found.values(), key=lambda entry: _natural(entry["slug"]), reverse=True)
    return sorted(newest_first, key=lambda entry: entry["priority"])


def openai_models(entries: Iterable[Entry], created: int) -> list[Entry]:
    """The same in OpenAI's form. created: epoch seconds."""
    return [{"id": entry["slug"], "object": "model", "created": created, "owned_by": "openai"} for entry in entries]


def _is_listed(entry: Entry) -> bool:
    return bool(
        entry.get("visibility") == "list" and entry.get("supported_in_api") is not False and entry.get("context_window")
    )


def _natural(slug: str) -> list[tuple[int, int, str]]:
    """A key that sorts `gpt-5.10` behind `gpt-5.9`."""
    parts = re.split(r"(\d{1,18})", slug)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def _prettified(slug: str) -> str:
    """`GPT-5.4 Mini` of `gpt-5.4-mini`."""
    head, _, rest = slug.partition("-")
    first, _, more = rest.partition("-")
    name = f"{head.upper()}-{first}" if head == "gpt" and first else slug
    words = [word.capitalize() for word in more.split("-") if word] if name != slug else []
    return " ".join([name, *words])


# Which values fit.


def _text(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15


def _count(value: object) -> bool:
    return _whole(value) and isinstance(value, int) and value > 0


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _rows(*names: str) -> Callable[[object], bool]:
    """A list of objects, each with these texts."""

    def fits(value: object) -> bool:
        return isinstance(value, list) and all(
            isinstance(row, dict) and all(isinstance(row.get(name), str) for name in names) for row in value
        )

    return fits


FIELDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "slug": _text,
    "display_name": _text,
    "description": _text,
    "priority": _whole,
    "context_window": _count,
    "max_context_window": _count,
    "input_modalities": _texts,
    "model_messages": _object,
    "base_instructions": _text,
    "apply_patch_tool_type": _text,
    "supported_reasoning_levels": _rows("effort", "description"),
    "default_reasoning_level": _text,
    "supports_reasoning_summaries": _flag,
    "reasoning_summary_format": _text,
    "default_reasoning_summary": _text,
    "supports_parallel_tool_calls": _flag,
    "support_verbosity": _flag,
    "default_verbosity": _text,
    "service_tiers": _rows("id", "name"),
    "additional_speed_tiers": _texts,
    "multi_agent_version": _text,
    "visibility": _text,
    "supported_in_api": _flag,
    "shell_type": _text,
    "truncation_policy": _object,
    "experimental_supported_tools": _texts,
}
"""Known field to what fits it."""
DEFAULTS: Final[Mapping[str, Any]] = {
    "priority": LAST,
    "supported_reasoning_levels": [],
    "shell_type": "unified_exec",
    "visibility": "none",
    "supported_in_api": True,
    "base_instructions": RAW_INSTRUCTIONS,
    "supports_reasoning_summaries": False,
    "support_verbosity": False,
    "truncation_policy": {"mode": "tokens", "limit": TOOL_OUTPUT_TOKENS},
    "supports_parallel_tool_calls": True,
    "experimental_supported_tools": [],
}
"""What Codex 0.169 refuses an entry without."""
LEFT_OUT: Final = ("use_responses_lite", "tool_mode")
"""Forms of request that the bridge does not translate; without these keys a client asks in the plain one."""


def _fits(name: str, value: object) -> bool:
    fits = FIELDS.get(name)
    return fits is None or fits(value)

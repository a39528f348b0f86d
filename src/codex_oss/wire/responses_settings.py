"""Decode the settings of a Responses request that its conversation may change: reasoning effort and text format.

Counterpart: `wire.responses_request` calls this. The fields of the request stand until a `configuration_update` item
of the input replaces one of them; the last update wins, for each of the two on its own.
Source: the `openai` package 3.52, `ResponseConfigurationUpdateItem`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from codex_oss.wire.fields import flag_at, invalid, object_at, optional_text_at, required_text_at, text_at
from codex_oss.wire.items import TextFormat


def decode_settings(obj: dict[str, Any], items: Any) -> tuple[str | None, TextFormat]:
    """Return effort (None when nobody named one) and format. items: the whole `input`, as it came."""
    effort: str | None = None
    form = TextFormat()
    for holder, where in _holders(obj, items):
        reasoning = object_at(holder, "reasoning", where)
        if reasoning is not None:
            effort = optional_text_at(reasoning, "effort", _place(where, "reasoning"))
        text = object_at(holder, "text", where)
        if text is not None and text.get("format") is not None:
            form = _text_format(text, _place(where, "text"))
    return effort, form


def _holders(obj: dict[str, Any], items: Any) -> Iterator[tuple[dict[str, Any], str]]:
    yield obj, ""
    for position, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") == "configuration_update":
            yield item, f"input[{position}]"


def _place(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _text_format(text: dict[str, Any], holder: str) -> TextFormat:
    form = object_at(text, "format", holder) or {}
    where = f"{holder}.format"
    kind = text_at(form, "type", where, "text")
    match kind:
        case "text" | "json_object":
            known: Literal["text", "json_object"] = "text" if kind == "text" else "json_object"
            return TextFormat(known)
        case "json_schema":
            schema = object_at(form, "schema", where)
            if schema is None:
                raise invalid(f"{where}.schema", "is required")
            strict = flag_at(form, "strict", where, False) if form.get("strict") is not None else None
            return TextFormat("json_schema", required_text_at(form, "name", where), schema, strict)
    raise invalid(f"{where}.type", "must be text, json_object or json_schema")

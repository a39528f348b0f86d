"""OpenCode's `opencode.json`: one provider of ours, put in as text so that comments and formatting stay.

Counterparts: OpenCode reads the file (JSON with comments and trailing commas; Observed: 1.18.33);
`services.jsonc` finds the places.

Rules that hold here:

1. Only `provider.codex-oss` is ours; keys that the user added within it stay, but for model names of the bridge.
2. The result is parsed again and compared; what cannot be edited safely is an EditRefused with the snippet to add.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.services.jsonc import JsoncError, Member, Node, content_end, holds_comment, parse_jsonc, skip_blank
from codex_oss.services.marked_block import EditRefused, newline_of

PROVIDER: Final = "codex-oss"
OUR_MODELS: Final = ("ocg-", "mission-")
SCHEMA: Final = "https://opencode.ai/config.json"


def provider_settings(base_url: str, api_key: str, models: Iterable[tuple[str, ModelProfile]]) -> dict[str, Any]:
    """What stands under `provider.codex-oss`. models: every name that the bridge answers to, with its profile."""
    return {
        "npm": "@ai-sdk/openai",
        "name": "codex-oss bridge",
        "options": {"baseURL": base_url, "apiKey": api_key},
        "models": {name: _model(name, profile) for name, profile in models},
    }


def render_snippet(settings: Mapping[str, Any]) -> str:
    """The whole of what to add by hand."""
    return json.dumps({"provider": {PROVIDER: settings}}, indent=2, ensure_ascii=False)


def read_provider(text: str) -> dict[str, Any] | None:
    """Our provider as it stands; None when it is absent. Raises EditRefused when the text is no JSON."""
    found = _ours(_root(text, None), None)
    return found.node.value if found is not None and isinstance(found.node.value, dict) else None


def put_provider(text: str, settings: Mapping[str, Any]) -> str:
    """*text* with our provider saying *settings*. An empty text becomes a whole file. Raises EditRefused."""
    if not text.strip():
        whole = {"$schema": SCHEMA, "provider": {PROVIDER: settings}}
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    root = _root(text, settings)
    held = _ours(root, settings)
    wanted = _merged(held.node.value if held else {}, settings)
    if held is not None and held.node.value == wanted:
        return text
    if held is not None:
        if holds_comment(text, held.node.start, held.node.end):
            raise _unsafe("provider.codex-oss differs from what is needed and holds comments", settings)
        shown = _rendered(wanted, text, _margin(text, held.start))
        edited = text[: held.node.start] + shown + text[held.node.end :]
    elif parents := root.find("provider"):
        edited = _inserted(text, parents[0].node, PROVIDER, wanted)
    else:
        edited = _inserted(text, root, "provider", {PROVIDER: wanted})
    _check(root, edited, wanted, settings)
    return edited


def strip_provider(text: str) -> str:
    """*text* without our provider, and without a `provider` object that held nothing else. Raises EditRefused."""
    root = _root(text, None)
    if _ours(root, None) is None:
        return text
    parent = root.find("provider")[0].node
    edited = _removed(text, parent, PROVIDER) if len(parent.members) > 1 else _removed(text, root, "provider")
    _check(root, edited, None, None)
    return edited


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


def _root(text: str, settings: Mapping[str, Any] | None) -> Node:
    try:
        root = parse_jsonc(text)
    except JsoncError as exc:
        raise _unsafe(f"it is not valid JSON ({exc})", settings) from exc
    if not isinstance(root.value, dict):
        raise _unsafe("it does not hold an object", settings)
    return root


def _ours(root: Node, settings: Mapping[str, Any] | None) -> Member | None:
    parents = root.find("provider")
    if len(parents) > 1 or (parents and not isinstance(parents[0].node.value, dict)):
        raise _unsafe("`provider` is not one object", settings)
    found = parents[0].node.find(PROVIDER) if parents else []
    if len(found) > 1:
        raise _unsafe(f"`provider.{PROVIDER}` stands there twice", settings)
    return found[0] if found else None


def _inserted(text: str, parent: Node, key: str, value: Any) -> str:
    """*text* with one more member at the end of *parent*."""
    newline = newline_of(text)
    outer = _margin(text, parent.start)
    margin = _margin(text, parent.members[0].start) if parent.members else outer + "  "
    margin = margin if len(margin) > len(outer) else outer + "  "
    member = f"{newline}{margin}{json.dumps(key)}: {_rendered(value, text, margin)}"
    closing = parent.end - 1
    behind = content_end(text, parent.start + 1, closing)
    tail = text[behind:closing]
    tail = tail if newline in tail else f"{newline}{outer}"
    last = parent.members[-1].node.end if parent.members else behind
    comma = "," if parent.members and not parent.trailing_comma else ""
    return text[:last] + comma + text[last:behind] + member + tail + text[closing:]


def _removed(text: str, parent: Node, key: str) -> str:
    """*text* without one member of *parent*, and without the comma that tied it to its neighbour."""
    place = next(index for index, member in enumerate(parent.members) if member.key == key)
    member = parent.members[place]
    if place + 1 < len(parent.members):
        comma = text.index(",", skip_blank(text, member.node.end))
        return text[: member.start] + text[comma + 1 :].lstrip()
    start = content_end(text, parent.start + 1, member.start)
    if parent.trailing_comma:
        behind = text.index(",", skip_blank(text, member.node.end)) + 1
        return _joined(text[:start], text[behind:])
    if place == 0:
        return _joined(text[:start], text[member.node.end :])
    comma = text.index(",", skip_blank(text, parent.members[place - 1].node.end))
    return _joined(text[:comma] + text[comma + 1 : start], text[member.node.end :])


def _joined(head: str, tail: str) -> str:
    """Head and tail, with a line end between them where the head may end in a line comment."""
    needs = "//" in head.rpartition("\n")[2] and not tail.lstrip(" \t\r").startswith("\n")
    return head + (newline_of(head) if needs else "") + tail


def _margin(text: str, offset: int) -> str:
    """The white space at the beginning of the line that holds *offset*."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip())]


def _rendered(value: Any, text: str, margin: str) -> str:
    indent = "\t" if margin.startswith("\t") else 2
    return json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", newline_of(text) + margin)


def _check(before: Node, after: str, wanted: Any, settings: Mapping[str, Any] | None) -> None:
    """Refuse an edit that changed anything but our provider."""
    try:
        found = parse_jsonc(after).value
    except JsoncError as exc:
        raise _unsafe("it is written in an unusual form", settings) from exc
    if _split(found) != (wanted, _split(before.value)[1]):
        raise _unsafe("it is written in an unusual form", settings)


def _split(document: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(our provider or None, everything else); an empty `provider` counts as none."""
    providers = {k: v for k, v in document.get("provider", {}).items() if k != PROVIDER}
    rest = {k: v for k, v in document.items() if k != "provider"} | ({"provider": providers} if providers else {})
    return document.get("provider", {}).get(PROVIDER), rest


def _unsafe(why: str, settings: Mapping[str, Any] | None) -> EditRefused:
    hint = "Correct it by hand." if settings is None else f"Add by hand:\n{render_snippet(settings)}"
    return EditRefused(f"It cannot be edited safely: {why}.", hint=hint)

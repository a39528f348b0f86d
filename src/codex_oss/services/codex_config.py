"""Codex's `config.toml`: one provider table of ours among everything that is the user's.

Counterparts: the Codex CLI reads it from `$CODEX_HOME`; `services.client_setup` says where the bridge listens.

Rules that hold here:

1. Only `[model_providers.opencode_bridge]` is ours. `model` and `model_provider` are never set: a GPT parent stays one.
2. Comments, order and foreign keys stay, within our table too. An absent table is appended as text, a present one is
   edited in place.
3. The result is parsed again and compared: but for our table it must say what it said before, else EditRefused.

Observed: Codex CLI 0.169. `model_providers` and `profiles` in a project's `.codex/config.toml` are ignored with a
warning, in a trusted project too, so the user's file is the only place; profiles are files `<name>.config.toml` there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from codex_oss.services.marked_block import EditRefused, newline_of

PROVIDER: Final = "opencode_bridge"
PROFILE: Final = "codex-oss"
"""`codex -p codex-oss` lays `$CODEX_HOME/codex-oss.config.toml` over the user's settings for one session."""
RIVALS: Final = ("experimental_bearer_token", "env_key", "env_key_instructions", "requires_openai_auth")
"""Other ways to a key. Beside `auth` Codex refuses its whole configuration or the turn. The first one was ours before:
with it Codex never asks for the list of models, and begins each session with a warning."""
KEY_COMMAND: Final = "echo"
"""The program that tells Codex the key, its argument."""
OURS: Final = "# Written by `codex-oss install`; `codex-oss uninstall` takes it out."
_PROFILE_NOTE = f"# A session on the bridge: codex -p {PROFILE}"
_PROFILE_LINE = re.compile(rf"{re.escape(OURS)}|{re.escape(_PROFILE_NOTE)}|model(_provider)?[ \t]*=")
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_OURS_BEGINS = rf"""[ \t]*\[[ \t]*model_providers[ \t]*\.[ \t]*(["']?){PROVIDER}\1[ \t]*"""
_OUR_HEADER = re.compile(_OURS_BEGINS + r"[.\]]")
_KEY_HEADER = re.compile(_OURS_BEGINS + rf"\.[ \t]*(?:{'|'.join(('auth', *RIVALS))})[ \t]*[.\]]")


def provider_settings(base_url: str, local_key: str) -> dict[str, Any]:
    """What stands in our table. base_url: e.g. `http://127.0.0.1:4000/v1`."""
    return {
        "name": "codex-oss bridge",
        "base_url": base_url,
        "wire_api": "responses",
        "auth": {"command": KEY_COMMAND, "args": [local_key]},
        "request_max_retries": 1,
        "stream_max_retries": 1,
        "stream_idle_timeout_ms": 300_000,
    }


def render_provider(settings: Mapping[str, Any]) -> str:
    """Our table as text, to append or to show."""
    table = tomlkit.table()
    for key, value in settings.items():
        table[key] = _in_line(value)
    return f"[model_providers.{PROVIDER}]\n{OURS}\n{table.as_string()}"


def render_profile(model: str) -> str:
    """The profile file: a session on the bridge, by choice and never by default."""
    document = tomlkit.document()
    document["model"], document["model_provider"] = model, PROVIDER
    return f"{OURS}\n{_PROFILE_NOTE}\n{tomlkit.dumps(document)}"


def put_profile(text: str | None, model: str) -> str:
    """The profile file; one that leads to the bridge already stays, with the model and whatever else it says.

    Codex writes into it too: a project trusted in a session with this profile. Raises EditRefused for a file of the
    user's own that leads elsewhere.
    """
    if text is None:
        return render_profile(model)
    if read_key(text, "model_provider") == PROVIDER:
        return text
    raise EditRefused("It exists and leads to another provider.", hint="Rename it, then run install again.")


def strip_profile(text: str) -> str:
    """The profile file without what we wrote at its top; what Codex or the user added stays."""
    top, header, rest = text, "", ""
    if (found := _HEADER.search(text)) is not None:
        top, header, rest = text[: found.start()], text[found.start() : found.end()], text[found.end() :]
    lines = [line for line in top.splitlines(keepends=True) if not _PROFILE_LINE.match(line)]
    return "".join(lines).lstrip("\r\n") + header + rest


def read_provider(text: str) -> dict[str, Any] | None:
    """Our table as it stands; None when it is absent. Raises EditRefused when the text is no TOML."""
    providers = _parsed(text).get("model_providers")
    table = providers.get(PROVIDER) if isinstance(providers, dict) else None
    return table if isinstance(table, dict) else None


def read_local_key(table: Mapping[str, Any]) -> str | None:
    """The key that our table holds, in today's form or in the one of older installs; None for any other way."""
    match table.get("auth"):
        case {"command": "echo", "args": [str() as key]}:
            return key
    held = table.get("experimental_bearer_token")
    return held if isinstance(held, str) else None


def read_key(text: str, key: str) -> str:
    """A text at the top level; empty when it is absent. Raises EditRefused when the text is no TOML."""
    value = _parsed(text).get(key)
    return value if isinstance(value, str) else ""


def read_model(text: str) -> str:
    """The `model` of an agent or profile file."""
    return read_key(text, "model")


def put_provider(text: str, settings: Mapping[str, Any]) -> str:
    """*text* with our table saying *settings*. Raises EditRefused when that cannot be done safely."""
    held = read_provider(text)
    wanted = {key: value for key, value in (held or {}).items() if key not in RIVALS} | dict(settings)
    if held == wanted:
        return text
    if held is None:
        newline = newline_of(text)
        gap = "" if not text else newline if text.endswith("\n") else newline * 2
        edited = text + gap + render_provider(settings).replace("\n", newline)
    else:
        edited = _edited(text, settings)
    _check(text, edited, wanted)
    return edited


def strip_provider(text: str) -> str:
    """*text* without our table. Raises EditRefused when that cannot be done safely."""
    if read_provider(text) is None:
        return text
    edited = _without(text)
    _check(text, edited, None)
    return edited


def _edited(text: str, settings: Mapping[str, Any]) -> str:
    """*text* with the values in our table replaced. tomlkit sees our table only: it reorders whole documents."""
    for start, end in reversed(list(_segments(text))):
        if _KEY_HEADER.match(text, start):
            text = _cut(text, start, end)
    start, end = next(_segments(text), (0, 0))
    try:
        document = tomlkit.parse(text[start:end])
        table: Any = document["model_providers"][PROVIDER]
        for rival in RIVALS:
            table.pop(rival, None)
        for key, value in settings.items():
            if table.get(key) != value:
                table[key] = _in_line(value)
        return text[:start] + tomlkit.dumps(document) + text[end:]
    except (TOMLKitError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _unsafe(settings) from exc


def _in_line(value: Any) -> Any:
    """A table as `{ … }`: a header of its own would end ours before the keys behind it."""
    if not isinstance(value, dict):
        return value
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _without(text: str) -> str:
    """*text* without our table, its sub-tables and the blank line before each of them."""
    for start, end in reversed(list(_segments(text))):
        text = _cut(text, start, end)
    return text


def _cut(text: str, start: int, end: int) -> str:
    newline, before = newline_of(text), text[:start]
    return (before.removesuffix(newline) if before.endswith(newline * 2) else before) + text[end:]


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """Where our table and its sub-tables stand, each from its header to its last value; what follows is the next's.

    A line within a multi-line string may look like a header; `_check` finds out.
    """
    headers = [match.start() for match in _HEADER.finditer(text)]
    for start, end in zip(headers, [*headers[1:], len(text)], strict=True):
        if _OUR_HEADER.match(text, start):
            lines = text[start:end].splitlines(keepends=True)
            while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
                lines.pop()
            yield start, start + sum(map(len, lines))


def _check(before: str, after: str, settings: Mapping[str, Any] | None) -> None:
    """Refuse an edit that changed anything but our table."""
    try:
        found = tomllib.loads(after)
    except tomllib.TOMLDecodeError as exc:
        raise _unsafe(settings) from exc
    told = _split(found)
    if told[0] != settings or told[1] != _split(_parsed(before))[1]:
        raise _unsafe(settings)


def _split(document: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
    """(our table or None, everything else); an empty `model_providers` counts as none."""
    providers = document.get("model_providers")
    if not isinstance(providers, dict):
        return None, document
    ours = providers.pop(PROVIDER, None)
    if not providers:
        del document["model_providers"]
    return ours, document


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise EditRefused(f"It is not valid TOML: {exc}.", hint="Correct it, then run it again.") from exc


def _unsafe(settings: Mapping[str, Any] | None) -> EditRefused:
    if settings is None:
        return EditRefused("Our table cannot be taken out safely.", hint=f"Remove [model_providers.{PROVIDER}].")
    return EditRefused(
        "It is written in a form that cannot be edited safely.", hint=f"Add by hand:\n{render_provider(settings)}"
    )

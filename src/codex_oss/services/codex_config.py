"""Codex's `config.toml`: one provider table of ours among everything that is the user's.

Counterparts: the Codex CLI reads it from `$CODEX_HOME`; `services.client_setup` says where the bridge listens,
`services.toml_table` edits. Our MCP server in the same file: `services.mcp_registration`.

Rule: only `[model_providers.opencode_bridge]` is ours. `model` and `model_provider` are never set: a GPT parent stays
one.

Observed: Codex CLI 0.169. `model_providers` and `profiles` in a project's `.codex/config.toml` are ignored with a
warning, in a trusted project too, so the user's file is the only place; profiles are files `<name>.config.toml` there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import tomlkit

from codex_oss.services.marked_block import EditRefused
from codex_oss.services.toml_table import HEADER, OURS, TablePlace, parse_toml, put_table, read_table, strip_table

PROVIDER: Final = "opencode_bridge"
PROFILE: Final = "codex-oss"
"""`codex -p codex-oss` lays `$CODEX_HOME/codex-oss.config.toml` over the user's settings for one session."""
RIVALS: Final = ("experimental_bearer_token", "env_key", "env_key_instructions", "requires_openai_auth")
"""Other ways to a key. Beside `auth` Codex refuses its whole configuration or the turn. The first one was ours before:
with it Codex never asks for the list of models, and begins each session with a warning."""
KEY_COMMAND: Final = "echo"
"""The program that tells Codex the key, its argument."""
PLACE: Final = TablePlace("model_providers", PROVIDER)
_PROFILE_NOTE = f"# A session on the bridge: codex -p {PROFILE}"
_PROFILE_LINE = re.compile(rf"{re.escape(OURS)}|{re.escape(_PROFILE_NOTE)}|model(_provider)?[ \t]*=")


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
    if (found := HEADER.search(text)) is not None:
        top, header, rest = text[: found.start()], text[found.start() : found.end()], text[found.end() :]
    lines = [line for line in top.splitlines(keepends=True) if not _PROFILE_LINE.match(line)]
    return "".join(lines).lstrip("\r\n") + header + rest


def read_provider(text: str) -> dict[str, Any] | None:
    """Our table as it stands; None when it is absent. Raises EditRefused when the text is no TOML."""
    return read_table(text, PLACE)


def read_local_key(table: Mapping[str, Any]) -> str | None:
    """The key that our table holds, in today's form or in the one of older installs; None for any other way."""
    match table.get("auth"):
        case {"command": "echo", "args": [str() as key]}:
            return key
    held = table.get("experimental_bearer_token")
    return held if isinstance(held, str) else None


def read_key(text: str, key: str) -> str:
    """A text at the top level; empty when it is absent. Raises EditRefused when the text is no TOML."""
    value = parse_toml(text).get(key)
    return value if isinstance(value, str) else ""


def read_model(text: str) -> str:
    """The `model` of an agent or profile file."""
    return read_key(text, "model")


def put_provider(text: str, settings: Mapping[str, Any]) -> str:
    """*text* with our table saying *settings*. Raises EditRefused when that cannot be done safely."""
    return put_table(text, PLACE, settings, RIVALS)


def strip_provider(text: str) -> str:
    """*text* without our table. Raises EditRefused when that cannot be done safely."""
    return strip_table(text, PLACE)

"""How Codex and OpenCode start the MCP server: one entry of ours in the settings of each.

Counterparts: `services.toml_table` and `services.jsonc_member` edit; `services.client_setup` says in which files;
`cli.mcp` is what gets started; `cli.doctor_mcp` tries it.

    $CODEX_HOME/config.toml    [mcp_servers.codex-oss]
    opencode.json              {"mcp": {"codex-oss": …}}

Rules that hold here:

1. An entry is ours when it starts `codex-oss mcp` and nothing else. Any other entry of that name is the user's: it is
   reported and left alone, whatever it does.
2. In an entry of ours only what it starts and with which key is kept up to date. A time limit that the user changed, or
   a server that he switched off, stays so.
3. The program is named by its absolute path, and never as `python -m`, which would import from the project's folder.
4. Not `required`: Codex then refuses every session, in every project, once the program is gone. The server answers
   fast enough instead (`services.mcp_greeting`).

Observed: Codex 0.169 starts servers in the folder of the session with HOME, PATH and a few more variables, those of
`env_vars` and `env`; it asks its model after a second, with the tools of those servers that have answered by then.
OpenCode 1.18.33 starts them in the folder of the session with its whole environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from codex_oss.config import DEFAULT_LOCAL_KEY, SETTINGS
from codex_oss.services.account_tools import SWITCH_ENV as ACCOUNT_TOOLS_ENV
from codex_oss.services.jsonc_member import MemberPlace, put_member, read_member, strip_member
from codex_oss.services.marked_block import EditRefused
from codex_oss.services.toml_table import TablePlace, put_table, read_table, strip_table

SERVER: Final = "codex-oss"
VERB: Final = "mcp"
IN_CODEX: Final = TablePlace("mcp_servers", SERVER)
IN_OPENCODE: Final = MemberPlace("mcp", SERVER)
KEY_VARIABLE: Final = "PROXY_API_KEY"
STARTUP_TIMEOUT_S: Final = 30
TOOL_TIMEOUT_S: Final = 600
"""How long the clients wait for one answer; `services.delegation.MAX_WAIT_S` is below it."""
FORWARDED_SETTINGS: Final = ("local_key", "upstream_base", "upstream_key")
OWN_VARIABLES: Final = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", ACCOUNT_TOOLS_ENV)
"""Where the server finds the user's settings, keys and accounts, and whether it tells of the last; Codex forwards
nothing that is not named."""


def server_command() -> tuple[str, ...]:
    """What clients start: this very installation."""
    script = Path(sys.executable).parent / SERVER
    if os.access(script, os.X_OK):
        return (str(script), VERB)
    return (sys.executable, "-P", "-m", "codex_oss", VERB)


def is_ours(command: Any) -> bool:
    """Whether a command is one that `server_command` gives, of this or of another installation."""
    match command:
        case [str() as program, "mcp"]:
            return Path(program).name == SERVER
        case [str(), "-P", "-m", "codex_oss", "mcp"]:
            return True
    return False


def codex_settings(local_key: str, key_names: Iterable[str]) -> dict[str, Any]:
    """What a new table of ours says.

    local_key: written down unless it is the public default; the file holds it already, for our provider. key_names:
    the variables of upstream keys, forwarded by name and never written down.
    """
    program, *arguments = server_command()
    own_key = {} if local_key == DEFAULT_LOCAL_KEY else {"env": {KEY_VARIABLE: local_key}}
    settings = [name for row in SETTINGS if row.field in FORWARDED_SETTINGS for name in row.env]
    forwarded = dict.fromkeys((*OWN_VARIABLES, *settings, *sorted(key_names)))
    return {
        "command": program,
        "args": arguments,
        "env_vars": [name for name in forwarded if not (own_key and name == KEY_VARIABLE)],
        **own_key,
        "startup_timeout_sec": STARTUP_TIMEOUT_S,
        "tool_timeout_sec": TOOL_TIMEOUT_S,
    }


def opencode_settings(key_reference: str) -> dict[str, Any]:
    """What a new entry of ours says. key_reference: as OpenCode resolves it; empty for the public default key."""
    own_key = {"environment": {KEY_VARIABLE: key_reference}} if key_reference else {}
    return {
        "type": "local",
        "command": [*server_command()],
        **own_key,
        "enabled": True,
        "timeout": TOOL_TIMEOUT_S * 1000,
    }


def read_codex(text: str) -> dict[str, Any] | None:
    """The entry of this name in config.toml; None when there is none. Raises EditRefused."""
    return read_table(text, IN_CODEX)


def read_opencode(text: str) -> dict[str, Any] | None:
    """The entry of this name in opencode.json; None when there is none. Raises EditRefused."""
    held = read_member(text, IN_OPENCODE)
    return held if isinstance(held, dict) else None


def command_of(entry: Mapping[str, Any]) -> list[Any]:
    """Program and arguments of an entry, in either client's form; empty when it has none."""
    command, arguments = entry.get("command"), entry.get("args", [])
    if isinstance(command, list):
        return command
    return [command, *arguments] if command is not None and isinstance(arguments, list) else []


def environ_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that an entry sets, in either client's form."""
    held = entry.get("env", entry.get("environment"))
    return dict(held) if isinstance(held, dict) else {}


def put_codex(text: str, settings: Mapping[str, Any]) -> str:
    """config.toml with our server. Raises EditRefused for a foreign one, or when it cannot be done safely."""
    held = read_codex(text)
    if held is None:
        return put_table(text, IN_CODEX, settings)
    return put_table(text, IN_CODEX, _updated(held, settings, "env"))


def put_opencode(text: str, settings: Mapping[str, Any]) -> str:
    """opencode.json with our server. Raises EditRefused for a foreign one, or when it cannot be done safely."""

    def merge(held: Any) -> Mapping[str, Any]:
        if held is None:
            return settings
        updated = _updated(held, settings, "environment")
        return {**held, **updated}

    return put_member(text, IN_OPENCODE, merge)


def strip_codex(text: str) -> str:
    """config.toml without our server; a foreign one stays."""
    held = read_codex(text)
    return strip_table(text, IN_CODEX) if held is not None and is_ours(command_of(held)) else text


def strip_opencode(text: str) -> str:
    """opencode.json without our server; a foreign one stays."""
    held = read_opencode(text)
    return strip_member(text, IN_OPENCODE) if held is not None and is_ours(command_of(held)) else text


def _updated(held: Any, settings: Mapping[str, Any], variables: str) -> dict[str, Any]:
    """The keys of a present entry of ours that are kept up to date. variables: the key of its environment."""
    if not isinstance(held, dict) or not is_ours(command_of(held)):
        raise EditRefused(
            f"An MCP server {SERVER!r} stands there already which install did not write; it was left alone.",
            hint="Rename it and run install again, or leave ours out: codex-oss install --no-mcp",
        )
    wanted = {key: settings[key] for key in ("command", "args") if key in settings}
    environ = {key: value for key, value in environ_of(held).items() if key != KEY_VARIABLE}
    environ |= settings.get(variables, {})
    return wanted | ({variables: environ} if environ or variables in held else {})

"""The checks of `doctor` that try our MCP server as Codex and OpenCode would start it.

Counterparts: `cli.doctor_checks` (Scene, Finding), `services.mcp_registration` (what stands in the settings),
`services.mcp_probe` (the trial). Rule: only this very installation is started, and of the variables that an entry sets
it only gets the key. A project's file may be anybody's: another program is told, and a variable may be as good as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from codex_oss.cli.doctor_checks import Check, Finding, Findings, Scene, failed, passed, warned
from codex_oss.cli.doctor_clients import INSTALL, read_text
from codex_oss.errors import BridgeError, StoreError
from codex_oss.services import mcp_registration
from codex_oss.services.delegation_tools import TOOLS
from codex_oss.services.mcp_probe import probe_server
from codex_oss.services.mcp_registration import KEY_VARIABLE, command_of, environ_of, is_ours, server_command
from codex_oss.services.settings import read_config

CODEX_FORWARDS: Final = ("HOME", "PATH", "LANG", "LC_ALL", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What Codex 0.169 hands to every server."""
_FILE: Final = re.compile(r"\{file:([^}]+)\}")

Environ = Callable[[Scene, Mapping[str, Any]], dict[str, str]]


def check_codex_server(scene: Scene) -> Findings:
    """Codex can start our server and gets its tools."""
    path = scene.places.codex_home / "config.toml"
    entry = mcp_registration.read_codex(read_text(path))
    yield _tried(scene, "Codex", path, entry, _codex_environ)


def check_opencode_server(scene: Scene) -> Findings:
    """OpenCode can start our server and gets its tools."""
    paths = (scene.places.opencode_file("project"), scene.places.opencode_file("user"))
    entries = {path: mcp_registration.read_opencode(read_text(path)) for path in paths}
    path = next((path for path in paths if entries[path] is not None), paths[0])

    def environ(scene: Scene, entry: Mapping[str, Any]) -> dict[str, str]:
        return {**scene.environ, **{name: _resolved(key, path.parent) for name, key in _own_key(entry).items()}}

    yield _tried(scene, "OpenCode", path, entries[path], environ)


def _tried(scene: Scene, client: str, path: Path, entry: Mapping[str, Any] | None, environ: Environ) -> Finding:
    if entry is None:
        return warned(f"{client} offers no tool to delegate: {path} has no MCP server of ours", INSTALL)
    command = command_of(entry)
    if not is_ours(command):
        told = f"{path} has an MCP server `codex-oss` that install did not write; it was not tried"
        return warned(told, "Compare it with docs/delegation.md, or rename it and run: codex-oss install")
    if entry.get("enabled") is False:
        return warned(f"{path}: the MCP server is switched off", "Set `enabled` to true there.")
    if tuple(command) != server_command():
        gone = not Path(command[0]).exists()
        told = "a program that is gone" if gone else "another installation, which was not tried"
        return (failed if gone else warned)(f"{path} starts {told}: {command[0]}", INSTALL)
    try:
        variables = environ(scene, entry)
        if read_config(scene.project, {}, variables).local_key != scene.config.local_key:
            return failed(f"{path}: the MCP server would show the bridge another key than it asks for", INSTALL)
        tools = probe_server(server_command(), variables, scene.project)
    except BridgeError as exc:
        return failed(f"{path}: {exc.message}", exc.hint or f"Run {' '.join(server_command())} to see more.")
    missing = [tool.name for tool in TOOLS if tool.name not in tools]
    if missing:
        return failed(f"{path}: the server starts without {', '.join(missing)}", INSTALL)
    return passed(f"{path}: the server starts and offers {', '.join(tools)}")


def _codex_environ(scene: Scene, entry: Mapping[str, Any]) -> dict[str, str]:
    """What reaches a server that Codex starts."""
    named = entry.get("env_vars")
    names = [*CODEX_FORWARDS, *(name for name in (named if isinstance(named, list) else ()) if isinstance(name, str))]
    forwarded = {name: scene.environ[name] for name in names if name in scene.environ}
    return forwarded | {name: str(key) for name, key in _own_key(entry).items()}


def _own_key(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in environ_of(entry).items() if name == KEY_VARIABLE}


def _resolved(value: Any, folder: Path) -> str:
    """A value as OpenCode resolves it: `{file:…}` is the text of that file, relative to the configuration."""
    found = _FILE.fullmatch(str(value))
    if found is None:
        return str(value)
    text = read_text(folder / found.group(1))
    if not text:
        raise StoreError(f"it refers to the key in {folder / found.group(1)}, which is not there.", hint=INSTALL)
    return text.strip()


MCP_CHECKS: Final[tuple[Check, ...]] = (
    Check("mcp.codex", check_codex_server),
    Check("mcp.opencode", check_opencode_server),
)

"""`codex-oss mcp`: the MCP server on stdin and stdout, as Codex and OpenCode start it.

Missions run in the bridge of the project when one runs, else in this process. Nothing but the protocol is written to
stdout; log lines go to stderr. The handshake is answered at once; the SDK, the configuration and everything behind them
are opened with the first call of a tool, and a configuration that cannot be read is the answer to that call.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from codex_oss.cli.options import FOLDER
from codex_oss.services.account_tools import offered_tools
from codex_oss.services.delegation_tools import MAX_WAIT_S, instructions
from codex_oss.services.mcp_greeting import Greeter
from codex_oss.services.stdio_lines import Lines, claim_stdio


@click.command("mcp", epilog="Example: codex mcp add codex-oss -- codex-oss mcp")
@click.option(
    "--project",
    type=FOLDER,
    show_default="the one around the current folder",
    metavar="DIR",
    help="The project's folder.",
)
@click.option(
    "--max-wait",
    type=click.IntRange(1, 86_400),
    default=MAX_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long delegate waits for a report; choose less than your client's own time limit.",
)
def mcp(project: Path | None, max_wait: int) -> None:
    """Offer missions as MCP tools (delegate, mission_start, …) on stdin and stdout.

    Where somebody has signed in (`codex-oss login`), four tools about the accounts are offered, too.
    Without --project it is the nearest folder upwards that holds `.codex-oss` or `.git`, else the current one.
    """
    folder = project or find_project(Path.cwd(), Path.home())
    greeter = Greeter(instructions(folder), lambda: offered_tools(os.environ))
    with claim_stdio() as lines:
        line = _greet(lines, greeter)
        if line:
            from codex_oss.cli.mcp_session import ProjectCalls, run_session

            run_session(lines, greeter, line, ProjectCalls(folder, max_wait), instructions(folder))


def find_project(folder: Path, home: Path) -> Path:
    """The project around a folder; the folder itself when there is none.

    The home folder is never one by itself, nor is what somebody else has put above us (into `/tmp`, say): a project's
    files choose models and where they are asked.
    """
    for above in (folder, *folder.parents):
        if above == home and above != folder:
            break
        if any(_is_own(above / name) for name in (".codex-oss", ".git")):
            return above
    return folder


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _greet(lines: Lines, greeter: Greeter) -> bytes:
    """Answer what can be answered without the SDK; the first line that cannot, empty at the end."""
    while line := lines.read():
        answer = greeter.take(line)
        if answer is None:
            return line
        if answer:
            lines.write(answer)
    return b""

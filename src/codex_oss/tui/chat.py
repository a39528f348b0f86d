"""`codex-oss chat`: a conversation with a model that can use tools, full screen.

Counterparts: `tui.chat_app` is the screen; `codex-oss run` asks one thing from the shell, in the same sessions.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from codex_oss.tui.terminal import require_screen


@click.command("chat", epilog="Example: codex-oss chat -m ocg-kimi-k2.6")
@click.option("-m", "--model", default="", metavar="MODEL", help="Model name. Default: the session's, else run_model.")
@click.option("--session", "session_id", default="", metavar="ID", help="Go on with this session, or begin it.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
    default=".",
    show_default="current folder",
    metavar="DIR",
    help="The project's folder.",
)
def chat(model: str, session_id: str, project: Path) -> None:
    """Chat on a full screen with a model that can read, search, edit and run commands in the project.

    Edits show their diff and commands the sandbox, and both ask first. Esc ends a turn, F1 explains the keys. Nothing
    of the conversation is written to stdout; the session's id is told at the end, and `codex-oss run --session` goes on
    with it too. Needs the extra `tui`.
    """
    require_screen("chat", 'codex-oss run "PROMPT"')
    from codex_oss.tui.chat_session import chat_with

    sys.exit(chat_with(project, os.environ, model, session_id))

"""`codex-oss tui`: the account manager, full screen.

Counterparts: `tui.account_manager` is the screen; `codex-oss accounts` does the same from the shell.
"""

from __future__ import annotations

import os
import sys

import click

from codex_oss.tui.terminal import require_screen


@click.command("tui", epilog="Example: codex-oss tui")
def tui() -> None:
    """Manage the ChatGPT accounts on a full screen: add, use, pin, switch off, delete, see what is left.

    Everything that it does, `codex-oss accounts` does too. Keys stand at the bottom; `?` explains them. Nothing is
    written to stdout. Needs the extra `tui`.
    """
    require_screen("tui", "codex-oss accounts list")
    from codex_oss.tui.account_session import manage

    sys.exit(manage(os.environ))

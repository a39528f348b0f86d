"""What a screen needs before it starts: the library, and a terminal in front of a person.

Counterparts: `tui.accounts` and `tui.chat` ask here first; nothing in this file imports Textual.

Rule: Textual draws on stderr and reads stdin. Both must be a terminal; stdout may lead anywhere, nothing is written
to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from importlib.util import find_spec

from codex_oss.errors import BridgeError, InvalidRequest


class ExtraMissing(BridgeError):
    """The library of the screens is not installed."""

    code = "extra_missing"


def require_screen(verb: str, instead: str) -> None:
    """Return when a screen can be shown. instead: what does the same without one.

    Raises InvalidRequest `not_a_terminal`, ExtraMissing.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidRequest(
            f"`codex-oss {verb}` is a full-screen program, and this is not a terminal.",
            hint=f"Without a terminal: {instead}",
            code="not_a_terminal",
        )
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise InvalidRequest(
            f"`codex-oss {verb}` is a full-screen program, and TERM says that this terminal cannot show one.",
            hint=f"Set TERM (to xterm-256color, say), or use: {instead}",
            code="not_a_terminal",
        )
    if find_spec("textual") is None:
        raise ExtraMissing(
            f"`codex-oss {verb}` needs the library of the screens, which is not installed.",
            hint="Install it: pip install 'codex-oss[tui]'",
        )
    settle_colour(os.environ)


def settle_colour(environ: MutableMapping[str, str]) -> None:
    """Let NO_COLOR mean what https://no-color.org says: an empty value asks for nothing. `0` does not either."""
    if environ.get("NO_COLOR") in ("", "0"):
        del environ["NO_COLOR"]

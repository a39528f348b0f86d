"""Asking a person before something that cannot be taken back.

Rule: where nobody can be asked, nothing is done: without a terminal `--yes` is needed, and its absence is exit 2.
"""

from __future__ import annotations

import sys

import click

from codex_oss.errors import InvalidRequest
from codex_oss.policy.printable import printable


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the person wants it. yes: said so already. Raises InvalidRequest where nobody can be asked."""
    if yes:
        return True
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidRequest(
            f"This asks first, and there is no terminal to ask at: {printable(question)}",
            hint="Say --yes to go on without being asked.",
            code="confirmation_needed",
        )
    return click.confirm(printable(question), default=False, err=True)

"""From the environment to the account manager on a screen, and back.

Counterparts: `tui.accounts` is the verb, `wiring.accounts` opens what it works on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from codex_oss.services.browser import browser_opener, why_headless
from codex_oss.tui.account_manager import AccountManager
from codex_oss.tui.account_work import AccountWork
from codex_oss.tui.full_screen import shown
from codex_oss.wiring.accounts import open_accounts


def manage(environ: Mapping[str, str]) -> int:
    """Show the account manager until the person leaves it; the exit status. Raises as `wiring.accounts`."""
    # What services log is said by the screen; a line on stderr would be drawn over it.
    logging.getLogger("codex_oss").addHandler(logging.NullHandler())
    return asyncio.run(_managed(environ))


async def _managed(environ: Mapping[str, str]) -> int:
    accounts = open_accounts(environ)
    opener = browser_opener(environ, accounts.issuer_base)
    try:
        return await shown(
            AccountManager(AccountWork(accounts), open_browser=opener, headless=bool(why_headless(environ)))
        )
    finally:
        await accounts.aclose()

"""`codex-oss accounts status`: the quota of each account, asked anew.

Counterparts: `services.quota_poll` asks, `cli.quota_table` draws; `accounts list` shows the same without asking.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from codex_oss.cli.account_answers import opened, say_json, views_in
from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.wiring.accounts import Accounts

AT_ONCE: Final = 4
"""Accounts that are asked at the same time."""


@click.command("status", epilog="Example: codex-oss accounts status --no-poll")
@click.option("--no-poll", is_flag=True, help="Ask nobody: show what was last heard.")
@json_option
def account_status(no_poll: bool, as_json: bool) -> None:
    """Show the quota of each account with its reset, the strategy and the pin.

    Asks the backend for the windows of every account that may be used; one that does not answer keeps its last figures.
    One that cools because it was used up answers again when the backend says that there is quota.
    """
    accounts = opened()
    people = [account.person_key for account in accounts.store.read().accounts]
    if people and not no_poll:
        import asyncio

        asyncio.run(_asked(accounts, people))
    strategy = accounts.store.read().strategy
    if as_json:
        told = _told(accounts)
        pin = next((row["key"] for row in told if row["pinned"]), None)
        say_json({"accounts": told, "strategy": strategy or "sticky", "pinned": pin})
        return
    for line in _lines(accounts):
        click.echo(line)
    click.echo(f"strategy: {strategy or 'sticky (the default)'}")


async def _asked(accounts: Accounts, people: list[str]) -> None:
    """Ask for the windows of all accounts; who does not answer is passed over."""
    import asyncio

    few = asyncio.Semaphore(AT_ONCE)

    async def ask(person: str) -> None:
        async with few:
            await accounts.quota_poll.poll(person, insists=True)

    try:
        await asyncio.gather(*map(ask, people))
    finally:
        await accounts.aclose()


def _told(accounts: Accounts) -> list[dict[str, Any]]:
    """All that is shown of each account, and when its windows were heard of."""
    from codex_oss.accounts.view import as_told
    from codex_oss.cli.account_naming import known_quotas

    quotas, book = known_quotas(accounts), accounts.store.read()
    heard = {account.key: quota.read_at for account in book.accounts if (quota := quotas.get(account.person_key))}
    return [{**as_told(view), "quota_read_at": heard.get(view.key)} for view in views_in(accounts)]


def _lines(accounts: Accounts) -> list[str]:
    """Every account with its bars, or the word that there is none."""
    import os
    import shutil

    from codex_oss.cli.account_table import NONE_YET
    from codex_oss.cli.quota_table import Style, colours_wanted, quota_lines

    width = shutil.get_terminal_size((100, 24)).columns
    style = Style(width=width, colour=colours_wanted(sys.stdout, os.environ))
    return quota_lines(accounts, time.time(), style) or [NONE_YET]

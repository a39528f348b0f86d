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
@click.option("--resume", is_flag=True, help="Let accounts answer again that have quota, before the reset told to us.")
@json_option
def account_status(no_poll: bool, resume: bool, as_json: bool) -> None:
    """Show the quota of each account with its reset, the strategy and the pin.

    Asks the backend for the windows of every account that may be used; one that does not answer keeps its last figures.
    One that cools because it was used up answers again when the backend says that there is quota: by itself where the
    end of that was guessed, with --resume where the backend had named it.
    """
    if no_poll and resume:
        raise click.UsageError("--resume asks the backend; it does not go with --no-poll.")
    accounts = opened()
    people = [account.person_key for account in accounts.store.read().accounts]
    if people and not no_poll:
        import asyncio

        asyncio.run(_asked(accounts, people, resumes=resume))
    strategy = accounts.store.read().strategy
    if as_json:
        told = _told(accounts)
        pin = next((row["key"] for row in told if row["pinned"]), None)
        say_json({"accounts": told, "strategy": strategy or "sticky", "pinned": pin})
        return
    for line in _lines(accounts):
        click.echo(line)
    click.echo(f"strategy: {strategy or 'sticky (the default)'}")


async def _asked(accounts: Accounts, people: list[str], *, resumes: bool) -> None:
    """Ask for the windows of all accounts; who does not answer is passed over."""
    import asyncio

    few = asyncio.Semaphore(AT_ONCE)

    async def ask(person: str) -> None:
        async with few:
            await accounts.quota_poll.poll(person, insists=True, resumes=resumes)

    try:
        await asyncio.gather(*map(ask, people))
    finally:
        await accounts.aclose()


def _told(accounts: Accounts) -> list[dict[str, Any]]:
    """All that is shown of each account, when its windows were heard of, and what is to be expected of them."""
    from codex_oss.accounts.forecast import forecast_of
    from codex_oss.accounts.view import as_told

    records, now_s, told = accounts.quotas.records(), time.time(), []
    people = {account.key: account.person_key for account in accounts.store.read().accounts}
    for view in views_in(accounts):
        record = records.get(people.get(view.key, ""))
        forecast = [
            {"window": each.window, "verdict": each.verdict, "empty_at": each.empty_at}
            for each in forecast_of(record, now_s)
        ]
        heard = record.read_at if record else None
        told.append({**as_told(view), "quota_read_at": heard, "forecast": forecast})
    return told


def _lines(accounts: Accounts) -> list[str]:
    """Every account with its bars, or the word that there is none."""
    import os
    import shutil

    from codex_oss.cli.account_table import NONE_YET
    from codex_oss.cli.quota_table import Style, colours_wanted, quota_lines

    width = shutil.get_terminal_size((100, 24)).columns
    style = Style(width=width, colour=colours_wanted(sys.stdout, os.environ))
    return quota_lines(accounts, time.time(), style) or [NONE_YET]

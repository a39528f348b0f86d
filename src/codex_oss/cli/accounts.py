"""`codex-oss accounts …`: see the ChatGPT accounts of this user, and say which of them answers.

Counterparts: `accounts.changes` is what each verb does, `accounts.view` what is shown; `codex-oss login` adds accounts.
Each `cli.account_…` has verbs of the group, `cli.account_answers` what all of them print.

Rules that hold here:

1. A verb that only reads or changes the book opens no connection and imports neither the event loop nor a client.
2. An account is named by its key, or by its e-mail where that is unique; otherwise exit 2, with the keys.
3. No token is ever printed: what is printed is made of `AccountView` alone.
4. Every change says how to take it back.
"""

from __future__ import annotations

import time

import click

from codex_oss.cli.account_answers import opened, say, say_json, views_in
from codex_oss.cli.account_doctor import account_doctor
from codex_oss.cli.account_refresh import account_refresh
from codex_oss.cli.account_remove import account_remove
from codex_oss.cli.account_status import account_status
from codex_oss.cli.account_transfer import account_transfer
from codex_oss.cli.account_verbs import account_disable, account_enable, account_pin, account_unpin, account_use
from codex_oss.cli.dry_run import dry_run
from codex_oss.cli.options import json_option


@click.group("accounts", epilog="Example: codex-oss accounts list")
def accounts() -> None:
    """See your ChatGPT accounts and say which of them answers.

    ACCOUNT is a key as `accounts list` shows it, or an e-mail that only one account has.
    """


@accounts.command("list", epilog="Example: codex-oss accounts list --json")
@json_option
def list_accounts(as_json: bool) -> None:
    """List all accounts: whose, how they stand, what is left of them.

    `*` marks the one that a new conversation gets. Nothing is asked of anybody; `accounts status` asks for quotas.
    """
    from codex_oss.accounts.view import as_listed
    from codex_oss.cli.account_table import render_accounts

    views = views_in(opened())
    if as_json:
        say_json({"accounts": [as_listed(view) for view in views]})
        return
    click.echo(render_accounts(views, time.time()))
    if not views:
        import os

        from codex_oss.cli.account_transfer import hint_of_others

        if hint := hint_of_others(os.environ):
            click.echo(hint, err=True)


@accounts.command(epilog="Example: codex-oss accounts strategy hybrid")
@click.argument("strategy", required=False, type=click.Choice(["sticky", "hybrid", "round_robin", "default"]))
@json_option
def strategy(strategy: str | None, as_json: bool) -> None:
    """Say or choose how accounts take turns.

    sticky (the default) stays with one account until it cannot answer. hybrid then takes the one that was used least
    lately. round_robin takes the next one for each turn, which costs prompt cache.
    """
    from codex_oss.accounts.book import STRATEGIES
    from codex_oss.accounts.changes import with_strategy

    store = opened().store
    before = store.read()
    wanted = next((known for known in STRATEGIES if known == strategy), None)
    after = store.change(lambda book: with_strategy(book, wanted)) if strategy else before
    told = {"ok": True, "strategy": after.strategy or "sticky", "chosen": after.strategy, "changed": after != before}
    words = f"strategy: {after.strategy or 'sticky (the default)'}"
    if after.strategy != before.strategy:
        words += f"\nundo: codex-oss accounts strategy {before.strategy or 'default'}"
    say(as_json, told, words)


for _command in (
    *(account_use, account_pin, account_unpin, account_enable, account_disable, account_remove),
    *(account_status, account_refresh, account_transfer, account_doctor, dry_run),
):
    accounts.add_command(_command)

"""`codex-oss accounts refresh`: new access tokens now, instead of with the next turn.

Counterpart: `services.token_refresh`, which spends each refresh token once, whoever else asks meanwhile.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.accounts.account import Account
    from codex_oss.wiring.accounts import Accounts


@click.command("refresh", epilog="Example: codex-oss accounts refresh --all")
@click.argument("name", metavar="[ACCOUNT]", required=False)
@click.option("--all", "every", is_flag=True, help="Every account that is enabled.")
@json_option
def account_refresh(name: str | None, every: bool, as_json: bool) -> None:
    """Ask the sign-in service for new access tokens; of the active account when none is named.

    Exit status 0 when all were renewed, else 1. A disabled account is not refreshed.
    """
    import asyncio
    import os

    from codex_oss.errors import RequestError
    from codex_oss.wiring.accounts import open_accounts

    if name is not None and every:
        raise RequestError("--all and a name exclude each other.", hint="Leave one of them out.")
    accounts = open_accounts(os.environ)
    rows = asyncio.run(_renewed(accounts, _meant(accounts, name, every=every)))
    ok = all(row["ok"] for row in rows)
    if as_json:
        from codex_oss.policy.printable import printable_json

        click.echo(printable_json(json.dumps({"ok": ok, "accounts": rows}, ensure_ascii=False)))
    else:
        _show(rows)
    sys.exit(0 if ok else 1)


def _meant(accounts: Accounts, name: str | None, *, every: bool) -> list[Account]:
    from codex_oss.accounts.view import active_of
    from codex_oss.cli.account_naming import enabled_named
    from codex_oss.errors import AccountError

    book = accounts.store.read()
    if name is not None:
        return [enabled_named(book, name)]
    active = active_of(book)
    meant = [account for account in book.accounts if account.switch.enabled and (every or account is active)]
    if not meant:
        raise AccountError(
            "There is no account to refresh.", hint="Sign in: codex-oss login", code="no_accounts_configured"
        )
    return meant


async def _renewed(accounts: Accounts, meant: list[Account]) -> list[dict[str, Any]]:
    """One row for each account; one that fails does not keep the others from it."""
    from codex_oss.errors import BridgeError

    rows: list[dict[str, Any]] = []
    try:
        for account in meant:
            row: dict[str, Any] = {"key": account.key, "ok": True, "error": None, "message": None, "expires_at": None}
            try:
                found = await accounts.refresh.fresh(account.person_key, not_generation=account.credential.generation)
            except BridgeError as exc:
                row |= {"ok": False, "error": exc.code, "message": exc.message}
            else:
                row |= _outcome(found)
            rows.append(row)
    finally:
        await accounts.aclose()
    return rows


def _outcome(found: Account | None) -> dict[str, Any]:
    if found is None:
        told = "It needs a login: codex-oss login"
        return {"ok": False, "error": "accounts_need_login", "message": told}
    return {"key": found.key, "expires_at": found.credential.expires_ms / 1000}


def _show(rows: list[dict[str, Any]]) -> None:
    import time

    from codex_oss.cli.account_table import instant, shown

    for row in rows:
        if row["ok"]:
            click.echo(f"{shown(row['key'])}: renewed, until {instant(row['expires_at'], time.time())}")
        else:
            click.echo(f"{shown(row['key'])}: {row['message']} [{row['error']}]", err=True)

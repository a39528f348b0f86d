"""`codex-oss logout`: forget accounts, and say whether anything to sign in with is left of them.

Counterpart: `services.signing_out`. Asks first; see `cli/asking`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from codex_oss.cli.asking import agreed
from codex_oss.cli.options import json_option
from codex_oss.errors import InvalidRequest
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.accounts.account import Account
    from codex_oss.accounts.book import Book
    from codex_oss.services.account_store import AccountStore
    from codex_oss.services.signing_out import SignedOut


@click.command(epilog="Example: codex-oss logout ann@example.com")
@click.argument("account", required=False)
@click.option("--all", "every", is_flag=True, help="Every account, and what was remembered of them.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def logout(account: str | None, every: bool, yes: bool, as_json: bool) -> None:
    """Sign out: remove an account and its tokens from this machine.

    ACCOUNT is a key or an e-mail of `codex-oss accounts list`; without it the active account is meant. Afterwards the
    files are searched for what was removed.

    Exit status: 0 the tokens are gone, 1 they are not, or you said no, 2 asked wrongly.
    """
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_table import shown
    from codex_oss.services.signing_out import sign_out, sign_out_all
    from codex_oss.wiring.accounts import open_accounts

    if every and account:
        raise click.UsageError("Name an account, or say --all.")
    store = open_accounts(os.environ).store
    book = store.read()
    meant = list(book.accounts) if every else _meant(book, account)
    if not meant and not every:
        _tell(None, store, as_json=as_json)
        return
    labels = ", ".join(shown(label_of(one)) for one in meant) or "no account; what was put aside goes"
    if not agreed(f"Sign out {labels}?", yes=yes):
        click.echo("Nothing was changed.", err=True)
        sys.exit(1)
    done = sign_out_all(store) if every else sign_out(store, [one.person_key for one in meant])
    _tell(done, store, as_json=as_json)
    sys.exit(1 if done.left else 0)


def _meant(book: Book, name: str | None) -> list[Account]:
    """The account that is to go; none when nobody is signed in. Raises RequestError unless it is one."""
    from codex_oss.cli.account_naming import one_named

    if name is not None:
        return [one_named(book, name)]
    active = book.get(book.active.person)
    if active or len(book.accounts) <= 1:
        return [active] if active else list(book.accounts)
    keys = "\n".join(f"  {account.key}" for account in book.accounts)
    raise InvalidRequest("No account is the active one.", hint=f"Name one:\n{keys}", code="account_ambiguous")


def _tell(done: SignedOut | None, store: AccountStore, *, as_json: bool) -> None:
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_table import shown

    gone = done.accounts if done else ()
    left = [str(path) for path in done.left] if done else []
    if as_json:
        told = {"ok": not left, "signed_out": [account.key for account in gone], "left": left}
        click.echo(printable_json(json.dumps(told, ensure_ascii=False)))
        return
    if not gone:
        click.echo("No account is signed in.")
    for account in gone:
        click.echo(f"Signed out: {shown(label_of(account))}.")
    if gone and not left:
        click.echo(printable(f"Looked: no token of it is left in {store.folder}."))
    for path in left:
        click.echo(printable(f"A damaged store that was put aside still holds its tokens; delete it: {path}"), err=True)

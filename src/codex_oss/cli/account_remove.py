"""`codex-oss accounts remove`: forget one account, after asking.

Counterparts: `services.signing_out` removes it and looks whether anything of it is left; `codex-oss logout` is the same
for the active account.
"""

from __future__ import annotations

import sys

import click

from codex_oss.cli.account_answers import opened, say, say_who_answers, told_of
from codex_oss.cli.options import json_option


@click.command("remove", epilog="Example: codex-oss accounts remove ann@example.com --dry-run")
@click.argument("name", metavar="ACCOUNT")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def account_remove(name: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Forget an account and its credentials, after asking.

    Only signing in brings it back. The sign-in service is not told; the other accounts stay as they are.
    """
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_naming import one_named
    from codex_oss.cli.account_table import shown
    from codex_oss.cli.asking import agreed
    from codex_oss.services.signing_out import sign_out

    accounts = opened()
    book = accounts.store.read()
    account = one_named(book, name)
    label = shown(label_of(account))
    if dry_run:
        told = {
            "ok": True,
            "verb": "remove",
            "changed": False,
            "dry_run": True,
            "account": told_of(accounts, book, account.person_key),
        }
        say(as_json, told, f"{label} would be removed; nothing was changed.")
        return
    if not agreed(f"Remove {label} and its credentials from this machine?", yes=yes):
        say(as_json, {"ok": False, "verb": "remove", "changed": False, "account": None}, "Nothing was removed.")
        sys.exit(1)
    gone = told_of(accounts, book, account.person_key)
    done = sign_out(accounts.store, [account.person_key])
    left = [str(path) for path in done.left]
    words = f"Removed {label}.\nundo: codex-oss login"
    if not left:
        words = f"Removed {label}; looked: no token of it is left in {accounts.folder}.\nundo: codex-oss login"
    say(
        as_json,
        {"ok": not left, "verb": "remove", "changed": True, "account": gone, "undo": None, "left": left},
        words,
    )
    for path in left:
        click.echo(shown(f"A damaged file that was put aside still holds its tokens; delete it: {path}"), err=True)
    if not as_json:
        say_who_answers(book, accounts.store.read())
    sys.exit(1 if left else 0)

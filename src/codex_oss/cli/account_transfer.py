"""`codex-oss accounts transfer`: take over the sign-ins of other programs, once the person has said so.

Counterparts: `services.account_sources` finds their files, `accounts.imports` reads them and says what the book knows
better. `codex-oss login --import FILE` does the same with one file.

Rules that hold here:

1. Nothing is taken over without a yes, and never because our book is missing: `hint_of_others` only names the verb.
2. A file that cannot be read or holds no sign-in does not keep the others from it.
3. The files of the other programs are left as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.accounts.imports import BroughtIn, Found
    from codex_oss.wiring.accounts import Accounts


@click.command("transfer", epilog="Example: codex-oss accounts transfer --dry-run")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken over, and change nothing.")
@json_option
def account_transfer(files: tuple[Path, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take over accounts from Codex, OpenCode and their account plugins, after a warning.

    Without FILE the usual places are looked at. The other program keeps its sign-in, and that is the trouble: whoever
    refreshes first signs the other one out. Signing in here anew (`codex-oss login`) has no such end.

    Exit status: 0 taken over, or nothing was new; 1 nothing was, or you said no; 2 asked wrongly.
    """
    import os

    from codex_oss.cli.asking import agreed
    from codex_oss.services.account_sources import other_sign_ins
    from codex_oss.wiring.accounts import open_accounts

    accounts = open_accounts(os.environ)
    rows, found = _read(files or other_sign_ins(os.environ))
    if not as_json:
        _show(rows, found)
    if found and not dry_run and not agreed("Take these over?", yes=yes):
        _tell(as_json, rows, [], dry_run=dry_run)
        sys.exit(1)
    done = _rehearsed(accounts, found) if dry_run else _taken(accounts, found)
    _tell(as_json, rows, done, dry_run=dry_run)
    sys.exit(0 if done else 1)


def hint_of_others(environ: Mapping[str, str]) -> str:
    """For somebody without a book of ours: that other programs hold sign-ins; empty when none does."""
    from codex_oss.services.account_folder import has_book
    from codex_oss.services.account_sources import other_sign_ins

    if has_book(environ):
        return ""
    _, found = _read(other_sign_ins(environ))
    if not any(account.credential.refresh for _, one in found for account in one.accounts):
        return ""
    return "Other programs here are signed in; codex-oss accounts transfer --dry-run shows them."


def _read(paths: tuple[Path, ...] | list[Path]) -> tuple[list[dict[str, Any]], list[tuple[Path, Found]]]:
    """A row for each file, and what those that can be read hold."""
    import time

    from codex_oss.errors import BridgeError
    from codex_oss.services.account_import import read_accounts

    rows: list[dict[str, Any]] = []
    found: list[tuple[Path, Found]] = []
    for path in paths:
        row: dict[str, Any] = {"path": str(path), "program": None, "accounts": [], "error": None, "message": None}
        try:
            one = read_accounts(path, int(time.time() * 1000))
        except BridgeError as exc:
            row |= {"error": exc.code, "message": exc.message}
        else:
            found.append((path, one))
            row |= {"program": one.program, "accounts": [account.key for account in one.accounts]}
        rows.append(row)
    return rows, found


def _taken(accounts: Accounts, found: list[tuple[Path, Found]]) -> list[BroughtIn]:
    from codex_oss.services.account_import import bring_in

    return [bring_in(accounts.store, one) for _, one in found]


def _rehearsed(accounts: Accounts, found: list[tuple[Path, Found]]) -> list[BroughtIn]:
    """What would come of it."""
    from codex_oss.accounts.imports import brought_in

    book, done = accounts.store.read(), []
    for _, one in found:
        done.append(brought_in(book, one))
        book = done[-1].book
    return done


def _show(rows: list[dict[str, Any]], found: list[tuple[Path, Found]]) -> None:
    """What was found, and the warning, for the person who is asked next."""
    from codex_oss.accounts.imports import SHARED
    from codex_oss.accounts.view import label_of
    from codex_oss.policy.printable import printable

    for path, one in found:
        labels = ", ".join(label_of(account) for account in one.accounts)
        click.echo(printable(f"{path} ({one.program}): {labels}"), err=True)
    for row in rows:
        if row["error"]:
            click.echo(printable(f"{row['path']}: {row['message']} [{row['error']}]"), err=True)
    if found:
        click.echo(f"Warning: {SHARED}", err=True)
    if not rows:
        click.echo("No file of another program was found.", err=True)


def _tell(as_json: bool, rows: list[dict[str, Any]], done: list[BroughtIn], *, dry_run: bool) -> None:
    from codex_oss.policy.printable import printable_json

    imported = len({account.key for one in done for account in one.taken})
    kept = len({account.key for one in done for account in one.kept})
    used = sum(bool(one.taken) for one in done)
    if as_json:
        told = {
            "ok": bool(done),
            "dry_run": dry_run,
            "imported": imported,
            "kept": kept,
            "sources_used": used,
            "sources": rows,
        }
        click.echo(printable_json(json.dumps(told, ensure_ascii=False)))
        return
    would = "would be " if dry_run else ""
    beside = f"; {kept} kept as stored here" if kept else ""
    click.echo(f"{_counted(imported, 'account')} {would}taken over from {_counted(used, 'file')}{beside}.")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

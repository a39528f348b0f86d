"""What the verbs of `accounts` print: one JSON object for programs, sentences for a person.

Counterparts: `cli.accounts`, `cli.account_verbs` and `cli.account_remove` say it; `accounts.view` is what is shown.

Rules that hold here:

1. No token is ever printed: what is printed of an account is made of `AccountView` and `label_of` alone.
2. Texts that others wrote (e-mails, plans) are cleaned before they reach a terminal.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from codex_oss.accounts.book import Book
    from codex_oss.accounts.view import AccountView
    from codex_oss.wiring.accounts import Accounts


def opened() -> Accounts:
    """The accounts of this user; nothing is read yet."""
    import os

    from codex_oss.wiring.accounts import open_accounts

    return open_accounts(os.environ)


def views_in(accounts: Accounts) -> list[AccountView]:
    """All accounts as they are shown."""
    from codex_oss.accounts.view import views_of
    from codex_oss.cli.account_naming import known_quotas, now_ms

    return views_of(accounts.store.read(), known_quotas(accounts), now_ms())


def told_of(accounts: Accounts, book: Book, person: str) -> dict[str, Any] | None:
    """One account of a book, for JSON."""
    from codex_oss.accounts.view import as_told, views_of
    from codex_oss.cli.account_naming import known_quotas, now_ms

    views = views_of(book, known_quotas(accounts), now_ms())
    pairs = zip(book.accounts, views, strict=True)
    return next((as_told(view) for account, view in pairs if account.person_key == person), None)


def say_changed(
    accounts: Accounts,
    verb: str,
    before: Book,
    after: Book,
    person: str,
    words: str,
    undo: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what became of one account. words: with `{}` for its label. undo: the words that take it back."""
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_naming import command
    from codex_oss.cli.account_table import shown

    changed = before != after
    account = after.get(person)
    assert account is not None
    back = ["codex-oss", "accounts", *undo] if changed and undo else None
    told = {"ok": True, "verb": verb, "changed": changed, "account": told_of(accounts, after, person), "undo": back}
    lines = [words.format(shown(label_of(account)))]
    if not changed:
        lines.append("It was so before.")
    elif undo:
        lines.append(f"undo: {command(*undo)}")
    say(as_json, told, "\n".join(lines))
    if verb in ("use", "pin", "enable"):
        _note_hindrance(accounts, after, person)


def _note_hindrance(accounts: Accounts, book: Book, person: str) -> None:
    """Say that an account that is meant cannot answer yet."""
    import time

    from codex_oss.accounts.view import views_of
    from codex_oss.cli.account_naming import now_ms
    from codex_oss.cli.account_table import state_of

    pairs = zip(book.accounts, views_of(book, {}, now_ms()), strict=True)
    view = next(view for account, view in pairs if account.person_key == person)
    if view.reason is not None:
        way = ": codex-oss login" if view.reason in ("needs_login", "workspace_unavailable") else ""
        click.echo(f"note: it cannot answer yet, {state_of(view, time.time())}{way}", err=True)


def say_who_answers(before: Book, after: Book) -> None:
    """Name the account that took over, when another one did."""
    from codex_oss.accounts.view import active_of, label_of
    from codex_oss.cli.account_table import shown

    was, is_now = active_of(before), active_of(after)
    if was is None or (is_now is not None and is_now.person_key == was.person_key):
        return
    click.echo(f"{shown(label_of(is_now))} answers now." if is_now else "No account is left that may answer.")


def say(as_json: bool, told: dict[str, Any], words: str) -> None:
    """One object for programs, or the sentence for a person."""
    if as_json:
        say_json(told)
    else:
        click.echo(words)


def say_json(told: dict[str, Any]) -> None:
    """One object on one line."""
    from codex_oss.policy.printable import printable_json

    click.echo(printable_json(json.dumps(told, ensure_ascii=False)))

"""`codex-oss accounts …`: see the ChatGPT accounts of this user, and say which of them answers.

Counterparts: `accounts.changes` is what each verb does, `accounts.view` what is shown; `codex-oss login` adds accounts.
`cli.account_transfer`, `cli.account_refresh` and `cli.account_doctor` have the verbs of their own size.

Rules that hold here:

1. A verb that only reads or changes the book opens no connection and imports neither the event loop nor a client.
2. An account is named by its key, or by its e-mail where that is unique; otherwise exit 2, with the keys.
3. No token is ever printed: what is printed is made of `AccountView` alone.
4. Every change says how to take it back.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from codex_oss.cli.account_doctor import account_doctor
from codex_oss.cli.account_refresh import account_refresh
from codex_oss.cli.account_transfer import account_transfer
from codex_oss.cli.dry_run import dry_run
from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.accounts.book import Book
    from codex_oss.accounts.view import AccountView
    from codex_oss.wiring.accounts import Accounts

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
name_argument = click.argument("name", metavar="ACCOUNT")


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

    views = _views(_opened())
    if as_json:
        _say_json({"accounts": [as_listed(view) for view in views]})
        return
    click.echo(render_accounts(views, time.time()))
    if not views:
        import os

        from codex_oss.cli.account_transfer import hint_of_others

        if hint := hint_of_others(os.environ):
            click.echo(hint, err=True)


@accounts.command(epilog="Example: codex-oss accounts status --no-poll")
@click.option("--no-poll", is_flag=True, help="Ask nobody: show what was last heard.")
@json_option
def status(no_poll: bool, as_json: bool) -> None:
    """Show the quota of each account with its reset, the strategy and the pin.

    Asks the backend for the windows of every account that may be used; one that does not answer keeps its last figures.
    """
    from codex_oss.accounts.view import as_told

    accounts = _opened()
    book = accounts.store.read()
    if as_json:
        views = _views(accounts)
        pin = next((view.key for view in views if view.pinned), None)
        told = [as_told(view) for view in views]
        _say_json({"accounts": told, "strategy": book.strategy or "sticky", "pinned": pin})
        return
    for line in _quota_lines(accounts):
        click.echo(line)
    click.echo(f"strategy: {book.strategy or 'sticky (the default)'}")


@accounts.command(epilog="Example: codex-oss accounts use ann@example.com")
@name_argument
@json_option
def use(name: str, as_json: bool) -> None:
    """Have an account answer from now on.

    Conversations under way go along, and a pin on another account is taken away. When it is used up the next one
    answers; `accounts pin` brings it back by itself after its reset.
    """
    from codex_oss.accounts.changes import chosen
    from codex_oss.cli.account_naming import change_named, enabled_named

    accounts = _opened()
    before, after, person = change_named(accounts, name, chosen, enabled_named)
    undo = _back_to(before, after, person)
    _say_changed(accounts, "use", before, after, person, "{} answers from now on.", undo, as_json)


@accounts.command(epilog="Example: codex-oss accounts pin ann@example.com")
@name_argument
@json_option
def pin(name: str, as_json: bool) -> None:
    """Pin an account: it answers whenever it can.

    While it is used up another one answers; after its reset it answers again. The pin stays until `accounts unpin`.
    """
    from codex_oss.accounts.changes import pinned
    from codex_oss.cli.account_naming import change_named, enabled_named

    accounts = _opened()
    before, after, person = change_named(accounts, name, pinned, enabled_named)
    earlier = before.get(before.pinned.person)
    undo = ("pin", earlier.key) if earlier and earlier.person_key != person else ("unpin",)
    _say_changed(accounts, "pin", before, after, person, "{} is pinned.", undo, as_json)


@accounts.command(epilog="Example: codex-oss accounts unpin")
@json_option
def unpin(as_json: bool) -> None:
    """Take the pin away: the strategy chooses again."""
    from codex_oss.accounts.changes import unpinned
    from codex_oss.cli.account_naming import now_ms

    accounts = _opened()
    seen: list[Book] = []

    def change(book: Book) -> Book:
        seen.append(book)
        return unpinned(book, now_ms()) if book.pinned.person else book

    after = accounts.store.change(change)
    person = seen[-1].pinned.person
    if seen[-1].get(person) is None:
        _say(
            as_json, {"ok": True, "verb": "unpin", "changed": after != seen[-1], "account": None}, "Nothing was pinned."
        )
        return
    undo = ("pin", _key_of(seen[-1], person))
    _say_changed(accounts, "unpin", seen[-1], after, person, "{} is no longer pinned.", undo, as_json)


@accounts.command(epilog="Example: codex-oss accounts enable ann@example.com")
@name_argument
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let an account be used again."""
    _switch(name, as_json, enabled=True)


@accounts.command(epilog="Example: codex-oss accounts disable ann@example.com")
@name_argument
@json_option
def disable(name: str, as_json: bool) -> None:
    """Keep an account, but neither use nor refresh it."""
    _switch(name, as_json, enabled=False)


@accounts.command(epilog="Example: codex-oss accounts remove ann@example.com --dry-run")
@name_argument
@yes_option
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def remove(name: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Forget an account and its credentials, after asking.

    Only signing in brings it back. The sign-in service is not told; the other accounts stay as they are.
    """
    from codex_oss.accounts.changes import removed
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_naming import change_named, one_named
    from codex_oss.cli.account_table import shown
    from codex_oss.cli.asking import agreed

    accounts = _opened()
    book = accounts.store.read()
    account = one_named(book, name)
    label = shown(label_of(account))
    if dry_run:
        told = {
            "ok": True,
            "verb": "remove",
            "changed": False,
            "dry_run": True,
            "account": _told(accounts, book, account.person_key),
        }
        _say(as_json, told, f"{label} would be removed; nothing was changed.")
        return
    if not agreed(f"Remove {label} and its credentials from this machine?", yes=yes):
        _say(as_json, {"ok": False, "verb": "remove", "changed": False, "account": None}, "Nothing was removed.")
        sys.exit(1)
    before, after, person = change_named(accounts, account.key, removed)
    told = {"ok": True, "verb": "remove", "changed": True, "account": _told(accounts, before, person), "undo": None}
    _say(as_json, told, f"Removed {label}; its credentials are gone from this machine.\nundo: codex-oss login")
    _say_who_answers(before, after, as_json)


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

    store = _opened().store
    before = store.read()
    wanted = next((known for known in STRATEGIES if known == strategy), None)
    after = store.change(lambda book: with_strategy(book, wanted)) if strategy else before
    told = {"ok": True, "strategy": after.strategy or "sticky", "chosen": after.strategy, "changed": after != before}
    words = f"strategy: {after.strategy or 'sticky (the default)'}"
    if after.strategy != before.strategy:
        words += f"\nundo: codex-oss accounts strategy {before.strategy or 'default'}"
    _say(as_json, told, words)


for _command in (account_refresh, account_transfer, account_doctor, dry_run):
    accounts.add_command(_command)


def _switch(name: str, as_json: bool, *, enabled: bool) -> None:
    from codex_oss.accounts.changes import switched
    from codex_oss.cli.account_naming import change_named

    def act(book: Book, person: str, now_ms: int) -> Book:
        account = book.get(person)
        same = account is not None and account.switch.enabled == enabled
        return book if same else switched(book, person, now_ms, enabled=enabled)

    accounts = _opened()
    before, after, person = change_named(accounts, name, act)
    verb, back = ("enable", "disable") if enabled else ("disable", "enable")
    words = "{} may be used." if enabled else "{} is disabled: neither used nor refreshed."
    _say_changed(accounts, verb, before, after, person, words, (back, _key_of(after, person)), as_json)
    if not enabled:
        _say_who_answers(before, after, as_json)


def _opened() -> Accounts:
    import os

    from codex_oss.wiring.accounts import open_accounts

    return open_accounts(os.environ)


def _quota_lines(accounts: Accounts) -> list[str]:
    """Every account with its bars, or the word that there is none."""
    import os
    import shutil

    from codex_oss.cli.account_table import NONE_YET
    from codex_oss.cli.quota_table import Style, colours_wanted, quota_lines

    width = shutil.get_terminal_size((100, 24)).columns
    style = Style(width=width, colour=colours_wanted(sys.stdout, os.environ))
    return quota_lines(accounts, time.time(), style) or [NONE_YET]


def _views(accounts: Accounts) -> list[AccountView]:
    from codex_oss.accounts.view import views_of
    from codex_oss.cli.account_naming import known_quotas, now_ms

    return views_of(accounts.store.read(), known_quotas(accounts), now_ms())


def _told(accounts: Accounts, book: Book, person: str) -> dict[str, Any] | None:
    """One account of a book, for JSON."""
    from codex_oss.accounts.view import as_told, views_of
    from codex_oss.cli.account_naming import known_quotas, now_ms

    views = views_of(book, known_quotas(accounts), now_ms())
    pairs = zip(book.accounts, views, strict=True)
    return next((as_told(view) for account, view in pairs if account.person_key == person), None)


def _say_changed(
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
    told = {"ok": True, "verb": verb, "changed": changed, "account": _told(accounts, after, person), "undo": back}
    lines = [words.format(shown(label_of(account)))]
    if not changed:
        lines.append("It was so before.")
    elif undo:
        lines.append(f"undo: {command(*undo)}")
    _say(as_json, told, "\n".join(lines))
    if verb in ("use", "pin") and account.needs_login:
        click.echo("note: it needs a login before it can answer: codex-oss login", err=True)


def _say_who_answers(before: Book, after: Book, as_json: bool) -> None:
    """Name the account that took over, when another one did."""
    from codex_oss.accounts.view import active_of, label_of
    from codex_oss.cli.account_table import shown

    was, is_now = active_of(before), active_of(after)
    if as_json or was is None or (is_now is not None and is_now.person_key == was.person_key):
        return
    click.echo(f"{shown(label_of(is_now))} answers now." if is_now else "No account is left that may answer.")


def _back_to(before: Book, after: Book, person: str) -> tuple[str, ...]:
    """What takes `use` back: the pin that was there, else the account that was active."""
    earlier = before.get(before.pinned.person)
    if earlier is not None:
        return ("pin", earlier.key)
    active = before.get(before.active.person)
    return ("use", active.key) if active is not None and active.person_key != person else ()


def _key_of(book: Book, person: str) -> str:
    account = book.get(person)
    return account.key if account is not None else ""


def _say(as_json: bool, told: dict[str, Any], words: str) -> None:
    """One object for programs, or the sentence for a person."""
    if as_json:
        _say_json(told)
    else:
        click.echo(words)


def _say_json(told: dict[str, Any]) -> None:
    from codex_oss.policy.printable import printable_json

    click.echo(printable_json(json.dumps(told, ensure_ascii=False)))

"""`codex-oss accounts use`, `pin`, `unpin`, `enable`, `disable`: who answers, as the person says.

Counterparts: `accounts.changes` is what each verb does, `cli.account_answers` what it prints.

Rule: every change says how to take it back, as one command that can be copied. Who took over from a disabled account
stays: `enable` makes it usable again, not the active one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from codex_oss.cli.account_answers import opened, say, say_changed, say_who_answers
from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.accounts.book import Book

name_argument = click.argument("name", metavar="ACCOUNT")


@click.command("use", epilog="Example: codex-oss accounts use ann@example.com")
@name_argument
@json_option
def account_use(name: str, as_json: bool) -> None:
    """Have an account answer from now on.

    Conversations under way go along, and a pin on another account is taken away. When it is used up the next one
    answers; `accounts pin` brings it back by itself after its reset.
    """
    from codex_oss.accounts.changes import chosen
    from codex_oss.cli.account_naming import change_named, enabled_named, now_ms

    accounts = opened()
    before, after, person = change_named(accounts, name, chosen, enabled_named)
    able = (account := after.get(person)) is not None and account.hindrance(now_ms()) is None
    words = "{} answers from now on." if able else "{} is chosen; it answers as soon as it can."
    say_changed(accounts, "use", before, after, person, words, _back_to(before, person), as_json)


@click.command("pin", epilog="Example: codex-oss accounts pin ann@example.com")
@name_argument
@json_option
def account_pin(name: str, as_json: bool) -> None:
    """Pin an account: it answers whenever it can.

    While it is used up another one answers; after its reset it answers again. The pin stays until `accounts unpin`.
    """
    from codex_oss.accounts.changes import pinned
    from codex_oss.cli.account_naming import change_named, enabled_named

    accounts = opened()
    before, after, person = change_named(accounts, name, pinned, enabled_named)
    earlier = before.get(before.pinned.person)
    undo = ("pin", earlier.key) if earlier and earlier.person_key != person else ("unpin",)
    say_changed(accounts, "pin", before, after, person, "{} is pinned.", undo, as_json)


@click.command("unpin", epilog="Example: codex-oss accounts unpin")
@json_option
def account_unpin(as_json: bool) -> None:
    """Take the pin away: the strategy chooses again."""
    from codex_oss.accounts.changes import unpinned
    from codex_oss.cli.account_naming import now_ms

    accounts = opened()
    seen: list[Book] = []

    def change(book: Book) -> Book:
        seen.append(book)
        return unpinned(book, now_ms()) if book.pinned.person else book

    after = accounts.store.change(change)
    person = seen[-1].pinned.person
    if seen[-1].get(person) is None:
        say(
            as_json, {"ok": True, "verb": "unpin", "changed": after != seen[-1], "account": None}, "Nothing was pinned."
        )
        return
    undo = ("pin", _key_of(seen[-1], person))
    say_changed(accounts, "unpin", seen[-1], after, person, "{} is no longer pinned.", undo, as_json)


@click.command("enable", epilog="Example: codex-oss accounts enable ann@example.com")
@name_argument
@json_option
def account_enable(name: str, as_json: bool) -> None:
    """Let an account be used again."""
    _switch(name, as_json, enabled=True)


@click.command("disable", epilog="Example: codex-oss accounts disable ann@example.com")
@name_argument
@json_option
def account_disable(name: str, as_json: bool) -> None:
    """Keep an account, but neither use nor refresh it."""
    _switch(name, as_json, enabled=False)


def _switch(name: str, as_json: bool, *, enabled: bool) -> None:
    from codex_oss.accounts.changes import switched
    from codex_oss.cli.account_naming import change_named

    def act(book: Book, person: str, now_ms: int) -> Book:
        account = book.get(person)
        same = account is not None and account.switch.enabled == enabled
        return book if same else switched(book, person, now_ms, enabled=enabled)

    accounts = opened()
    before, after, person = change_named(accounts, name, act)
    verb, back = ("enable", "disable") if enabled else ("disable", "enable")
    words = "{} may be used." if enabled else "{} is disabled: neither used nor refreshed."
    say_changed(accounts, verb, before, after, person, words, (back, _key_of(after, person)), as_json)
    if not enabled and not as_json:
        say_who_answers(before, after)


def _back_to(before: Book, person: str) -> tuple[str, ...]:
    """What takes `use` back: the pin that was there, else the account that was active."""
    from codex_oss.accounts.view import active_of

    earlier = before.get(before.pinned.person)
    if earlier is not None:
        return ("pin", earlier.key)
    active = active_of(before)
    return ("use", active.key) if active is not None and active.person_key != person else ()


def _key_of(book: Book, person: str) -> str:
    account = book.get(person)
    return account.key if account is not None else ""

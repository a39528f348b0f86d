"""The sentence before work begins: it names the account, what is left, and how certain anybody can be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.outlook import duration_text, outlook_line
from codex_oss.accounts.quota import Credits, Quota, Window
from codex_oss.accounts.quota_record import QuotaRecord, learned
from tests.accounts.strategies import books

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC).timestamp()


def utc(instant: float) -> datetime:
    """Local time, where local is UTC."""
    return datetime.fromtimestamp(instant, UTC)


def person(name: str) -> Account:
    """Somebody who can answer."""
    held = Credential(1, 0, "at", "rt")
    return Account(key=name, account_id=name, email=f"{name}@x.y", plan="plus", credential=held)


ANN, BOB = person("ann"), person("bob")
BOOK = Book((ANN, BOB), active=Meant(1, ANN.person_key))


def told(used: float | None, credits: Credits | None = None, *, resets_at: float | None = NOON + 9_000) -> QuotaRecord:
    """Half of five hours over, so much of it used."""
    return learned(None, Quota(NOON, (Window(18_000, used, resets_at),), credits or Credits()))[0]


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (told(38.5), "5h 61% left; lasts for 30 min at the pace so far."),
        (
            told(96.5),
            "5h 3.5% left; 5h ends about 12:05 at the pace so far, before the 30 min asked for are over; "
            "bob@x.y (plus) could go on.",
        ),
        (told(100.0), "5h 0% left; 5h is used up; bob@x.y (plus) could go on."),
        (told(100.0, Credits(True, None, "4")), "5h 0% left; credits go on when the windows are used up."),
        (told(38.5, resets_at=None), "5h 61% left; whether that lasts is unknown: no pace was observed."),
        (told(None), "unknown, the backend has not told it."),
        (None, "unknown, the backend has not told it."),
    ],
)
def test_the_sentence(record: QuotaRecord | None, line: str) -> None:
    """What is left, whether it lasts, who else could go on; unknown where it is."""
    records = {} if record is None else {ANN.person_key: record}
    assert outlook_line(BOOK, records, NOON, 1_800, utc) == f"quota of ann@x.y (plus): {line}"


def test_nobody_is_offered_who_could_not() -> None:
    """Neither one that is disabled nor one that runs out, too; and without anybody there is no sentence."""
    spent = told(96.5)
    both = {ANN.person_key: spent, BOB.person_key: spent}
    assert "bob" not in outlook_line(BOOK, both, NOON, 1_800, utc)
    disabled = BOOK.with_account(structs.replace(BOB, switch=Switch(1, False)))
    assert "bob" not in outlook_line(disabled, {ANN.person_key: spent}, NOON, 1_800, utc)
    assert outlook_line(Book(), both, NOON, 1_800, utc) == ""


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (1_800, "30 min"), (18_000, "5 h"), (9_000, "2 h 30 min")])
def test_durations(seconds: float, text: str) -> None:
    """As a person says them."""
    assert duration_text(seconds) == text


@given(books(), st.none() | st.floats(0, 100), st.floats(1, 1e6))
def test_it_is_one_line(book: Book, used: float | None, wanted_s: float) -> None:
    """Whatever is known of whoever."""
    records = {account.person_key: told(used) for account in book.accounts}
    assert "\n" not in outlook_line(book, records, NOON, wanted_s, utc)

"""Accounts and books of any kind, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.book import STRATEGIES, Book, Meant

INSTANTS = st.integers(0, 40)
WORDS = st.sampled_from(["", "a", "b"])
EXTRA = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3) | WORDS | st.none(), max_size=2)
SWITCHES = st.builds(Switch, INSTANTS, st.booleans(), WORDS)
PEOPLE = st.sampled_from([("acc1", "a@x.y"), ("acc1", "b@x.y"), ("acc2", "a@x.y"), ("", "")])


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """One of few people, in any state."""
    account_id, email = draw(PEOPLE)
    plan = draw(st.sampled_from(["plus", "team"]))
    return Account(
        key=f"{account_id}|{email}|{plan}" if email else draw(st.sampled_from(["legacy|1", "legacy|2"])),
        account_id=account_id,
        email=email,
        user_id=draw(st.sampled_from(["", "u1"])),
        plan=plan,
        identified_ms=draw(INSTANTS),
        credential=Credential(draw(st.integers(0, 4)), draw(INSTANTS), draw(WORDS), draw(WORDS)),
        rejected_generation=draw(st.integers(-1, 4)),
        dead_generation=draw(st.integers(-1, 4)),
        switch=draw(SWITCHES),
        cooldown=draw(st.builds(Cooldown, INSTANTS, WORDS, st.booleans())),
        workspace=draw(SWITCHES),
        added_ms=draw(INSTANTS),
        last_used_ms=draw(INSTANTS),
        last_error=draw(st.tuples(INSTANTS, WORDS)),
        extra=draw(EXTRA),
    )


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Some accounts, each person once."""
    found = {account.person_key: account for account in draw(st.lists(accounts(), max_size=4))}
    people = st.sampled_from(["", *found, "a@x.y|gone"])
    return Book(
        accounts=tuple(found.values()),
        active=draw(st.builds(Meant, INSTANTS, people)),
        pinned=draw(st.builds(Meant, INSTANTS, people)),
        strategy=draw(st.sampled_from([None, *STRATEGIES])),
        extra=draw(EXTRA),
    )

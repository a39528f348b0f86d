"""What a look at windows does to a cooldown, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential
from codex_oss.accounts.quota import Credits, Quota, Window
from codex_oss.accounts.resuming import after_look

NOW = 1_800_000_000.0
NOW_MS = int(NOW * 1000)
ANN = Account(key="a", credential=Credential(1, 0, "at", "rt"))
SOME = Quota(NOW, (Window(18_000, 40.0), Window(604_800, 99.6)))
NONE = Quota(NOW, (Window(18_000, 100.0, NOW + 60), Window(604_800, 5.0, NOW + 900)))


def cooling(why: str, *, believed: bool = False, seconds: float = 300) -> Account:
    """Ann, cooling."""
    return structs.replace(ANN, cooldown=Cooldown(NOW_MS + int(seconds * 1000), why, believed))


@pytest.mark.parametrize(
    ("account", "quota", "resumes", "ends"),
    [
        (cooling("usage_limit_reached"), SOME, False, True),
        (cooling("quota_exhausted"), SOME, False, True),
        (cooling("workspace_owner_usage_limit_reached"), SOME, False, True),
        (cooling("usage_limit_reached", believed=True), SOME, False, False),
        (cooling("usage_limit_reached", believed=True), SOME, True, True),
        (cooling("rate_limit_exceeded"), SOME, True, False),
        (cooling("refresh_failed"), SOME, True, False),
        (cooling("usage_limit_reached"), NONE, True, False),
        (cooling("usage_limit_reached"), Quota(NOW, (Window(18_000),)), True, False),
        (cooling("usage_limit_reached"), structs.replace(NONE, credits=Credits(True, None, "3")), False, True),
    ],
)
def test_a_guess_gives_way(account: Account, quota: Quota, resumes: bool, ends: bool) -> None:
    """A guess of ours ends when there is quota; the backend's own word only when a person says so."""
    after = after_look(account, account.cooldown, quota, NOW, resumes=resumes)
    assert (after.cooldown == Cooldown()) == ends


def test_what_came_later_knows_better() -> None:
    """A cooldown that a turn began while the look was under way stays; so does one where no turns are answered."""
    account = cooling("usage_limit_reached")
    assert after_look(account, Cooldown(), SOME, NOW) == account
    assert after_look(account, account.cooldown, SOME, NOW, allowed=False) == account


@pytest.mark.parametrize(
    ("quota", "cooldown"),
    [
        (NONE, Cooldown(NOW_MS + 60_000, "quota_exhausted", True)),
        (Quota(NOW, (Window(18_000, 100.0),)), Cooldown(NOW_MS + 300_000, "quota_exhausted", False)),
        (Quota(NOW, (Window(18_000, 100.0, NOW + 3e7),)), Cooldown(NOW_MS + 8 * 86_400_000, "quota_exhausted", True)),
        (structs.replace(NONE, credits=Credits(unlimited=True)), Cooldown()),
        (SOME, Cooldown()),
    ],
)
def test_used_up_windows_cool(quota: Quota, cooldown: Cooldown) -> None:
    """Until the reset that was named, five minutes where none was; not with credits, not at 0.4 % left."""
    assert after_look(ANN, Cooldown(), quota, NOW).cooldown == cooldown


@given(
    st.sampled_from(["usage_limit_reached", "rate_limit_exceeded", ""]),
    st.booleans(),
    st.floats(0, 1e6),
    st.lists(st.none() | st.floats(0, 100), max_size=3),
    st.none() | st.floats(-1e4, 1e6),
)
def test_a_cooldown_is_never_shortened(
    why: str, believed: bool, seconds: float, used: list[float | None], reset: float | None
) -> None:
    """It ends, stays, or lasts longer."""
    account = cooling(why, believed=believed, seconds=seconds)
    windows = tuple(Window(18_000, each, None if reset is None else NOW + reset) for each in used)
    after = after_look(account, account.cooldown, Quota(NOW, windows), NOW)
    assert after.cooldown == Cooldown() or after.cooldown.until_ms >= account.cooldown.until_ms

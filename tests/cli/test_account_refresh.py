"""`codex-oss accounts refresh` against a rude issuer, as a real process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch
from codex_oss.accounts.book import Meant
from tests.cli.account_home import ANN, BOB, TEAM, Home
from tests.fakes.issuer import Issuer


@pytest.fixture
def rude() -> Iterator[Issuer]:
    """The issuer."""
    with Issuer() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, rude: Issuer) -> Home:
    """A user whose three accounts the issuer knows; the second is active."""
    made = Home(tmp_path)
    made.environ = {"CODEX_OSS_OAUTH_ISSUER": rude.url}
    made.put(*(known(rude, one) for one in (ANN, BOB, TEAM)), active=Meant(1, BOB.person_key))
    return made


def known(rude: Issuer, account: Account) -> Account:
    """The account with tokens of this issuer."""
    told = rude.login(account.email, account.account_id, account.plan)
    held = Credential(1, 1, told["access_token"], told["refresh_token"])
    return structs.replace(account, credential=held)


def generations(home: Home) -> list[int]:
    """How often each was renewed."""
    return [account.credential.generation for account in home.store.read().accounts]


def test_the_active_one_is_renewed(home: Home, rude: Issuer) -> None:
    """Also one that can be sent yet; the others are left alone, and no token is shown."""
    done = home.run("accounts", "refresh")
    assert (done.returncode, "renewed" in done.stdout) == (0, True)
    assert generations(home) == [1, 2, 1]
    assert home.told("accounts", "refresh")["accounts"][0]["key"] == BOB.key
    assert generations(home) == [1, 3, 1]
    held = home.store.read().accounts[1].credential
    again = home.run("accounts", "refresh", "--json")
    for token in (held.refresh, held.access, home.store.read().accounts[1].credential.access):
        assert token not in done.stdout + done.stderr + again.stdout + again.stderr
    assert rude.reuses == []


def test_all_of_them(home: Home, rude: Issuer) -> None:
    """One that fails is told and keeps nobody from it; a disabled one is not asked."""
    home.told("accounts", "disable", TEAM.key)
    rude.trouble = [(400, "application/json", b'{"error": "invalid_grant"}')]
    told = home.told("accounts", "refresh", "--all", status=1)
    assert [(row["key"], row["ok"], row["error"]) for row in told["accounts"]] == [
        (ANN.key, False, "accounts_need_login"),
        (BOB.key, True, None),
    ]
    assert generations(home) == [1, 2, 1]
    assert home.listed()[ANN.key]["needs_login"] is True
    assert home.run("accounts", "refresh", ANN.key).returncode == 1
    assert rude.refreshes == 1


def test_a_failure_of_the_moment(home: Home, rude: Issuer) -> None:
    """Exit 1 with its code; nothing is lost."""
    rude.trouble = [(503, "text/html", b"<html>")]
    told = home.told("accounts", "refresh", ANN.key, status=1)
    assert told["accounts"][0]["error"] == "upstream_unavailable"
    assert home.listed()[ANN.key]["needs_login"] is False


def test_who_may_not_be_refreshed(home: Home, rude: Issuer) -> None:
    """A disabled one, by name too; nobody at all; two ways of saying whom."""
    home.put(structs.replace(ANN, switch=Switch(1, enabled=False)))
    assert home.told("accounts", "refresh", ANN.key, status=1)["error"] == "account_disabled"
    assert home.told("accounts", "refresh", status=1)["error"] == "no_accounts_configured"
    assert home.told("accounts", "refresh", ANN.key, "--all", status=2)["error"] == "invalid_request"
    assert rude.refreshes == 0

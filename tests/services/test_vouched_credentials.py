"""Credentials that a backend accepted: bounded in time and number, and never kept themselves."""

from __future__ import annotations

from codex_oss.policy.outbound import Credential
from codex_oss.services.vouched_credentials import MAX_CREDENTIALS, TRUST_S, VouchedCredentials

ONE, OTHER = Credential(b"token", b"acct"), Credential(b"token", b"acct-2")


def test_only_the_very_credential() -> None:
    """Token and account together are known; neither alone, and no other way to cut them."""
    vouched = VouchedCredentials()
    assert ONE not in vouched
    vouched.accept(ONE)
    assert ONE in vouched
    for strange in (OTHER, Credential(b"token"), Credential(b"accttoken"), Credential(b"ttoken", b"acc")):
        assert strange not in vouched


def test_trust_ends() -> None:
    """After twelve hours, at a refusal, and with the process."""
    clock = [0.0]
    vouched = VouchedCredentials(now=lambda: clock[0])
    vouched.accept(ONE)
    clock[0] = TRUST_S - 1
    assert ONE in vouched
    clock[0] = TRUST_S
    assert ONE not in vouched
    vouched.accept(ONE)
    vouched.refuse(ONE)
    vouched.refuse(OTHER)
    assert ONE not in vouched
    assert ONE not in VouchedCredentials()


def test_the_memory_is_bounded() -> None:
    """The one that was accepted longest ago goes first."""
    vouched = VouchedCredentials()
    vouched.accept(ONE)
    for number in range(MAX_CREDENTIALS - 1):
        vouched.accept(Credential(b"%d" % number))
    vouched.accept(ONE)
    vouched.accept(OTHER)
    assert len(vouched) == MAX_CREDENTIALS
    assert ONE in vouched
    assert Credential(b"0") not in vouched


def test_the_token_is_not_kept() -> None:
    """Two processes remember the same credential differently, and neither by its bytes."""
    memories = [VouchedCredentials(), VouchedCredentials()]
    for vouched in memories:
        vouched.accept(ONE)
    (first,), (second,) = (list(vouched._accepted_at) for vouched in memories)
    assert first != second
    assert b"token" not in first

"""What follows a failed request of a turn that has shown nothing yet: the same account again, another one, or the end.

Counterparts: `accounts.failures` says what failed, `lanes.chatgpt` performs it, `accounts.selection` picks who is next.

| failure | same account | then |
| --- | --- | --- |
| expired, revoked | once, with a new token | the next |
| used_up | when a named reset is within WAIT_S, for at most WAIT_S a turn | the next |
| throttled | | the next; the same one when there is no other and it is over within WAIT_S |
| overloaded | MAX_OVERLOADED times, after a pause | the next |
| workspace, model | | the next |
| edge, refused | | told as it is |

Rules that hold here:

1. Nothing is tried again once something was shown; who asks here has shown nothing.
2. From MAX_REQUESTS requests on nobody is asked twice, and a request that took MAX_REPEATED_S to fail is not repeated.
3. Every request of a turn has a reason, a row of REASONS.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from codex_oss.accounts.failures import Failure, Kind

WAIT_S: Final = 10.0
"""A reset within this is waited for, all waits of a turn together."""
MAX_OVERLOADED: Final = 2
MAX_LIMITED: Final = 3
MAX_REQUESTS: Final = 12
MAX_REPEATED_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.25
INITIAL: Final = "initial_attempt"
WITHOUT_REASONING: Final = "retry_same_account_without_reasoning"
FAMILY: Final[dict[Kind, str]] = {
    "expired": "401",
    "revoked": "401",
    "workspace": "workspace",
    "model": "model",
    "used_up": "429",
    "throttled": "429",
    "overloaded": "5xx",
}
REASONS: Final[dict[str, str]] = {
    INITIAL: "the first request of the turn",
    "retry_same_account_after_429": "the same account once more: its limit was over within seconds",
    "retry_switched_account_after_429": "another account: the one before met a limit",
    "retry_same_account_after_401": "the same account with a new access token",
    "retry_switched_account_after_401": "another account: the one before could not be signed in with any more",
    "retry_switched_account_after_workspace": "another account: the workspace of the one before refuses it",
    "retry_switched_account_after_model": "another account: the one before does not have the model",
    "retry_same_account_after_5xx": "the same account once more: the backend was overloaded or broke off",
    "retry_switched_account_after_5xx": "another account: the backend kept failing for the one before",
    WITHOUT_REASONING: "the same account once more, without sealed reasoning that it could not open",
}
"""Why a request of a turn was made; docs/accounts-lane.md lists them."""

Way = Literal["same", "renewed", "without_reasoning", "switch", "stop"]


class Next(Struct, frozen=True):
    """What follows. delay_s: before it. done: the turn does not come back to this account, even if it could answer."""

    way: Way
    delay_s: float = 0.0
    done: bool = False


SWITCH: Final = Next("switch", done=True)


class Tally(Struct):
    """What one account has cost a turn so far."""

    unauthorized: int = 0
    limited: int = 0
    overloaded: int = 0


class SoFar(Struct, frozen=True):
    """How far a turn is. requests: so far; waited_s: for resets; took_s: of the last one; sealed: it held seals."""

    requests: int
    waited_s: float = 0.0
    took_s: float = 0.0
    sealed: bool = False


def next_step(failure: Failure, tally: Tally, so_far: SoFar, now_s: float) -> Next:
    """Choose what follows a failed request; counts the failure in *tally*, which is the account's."""
    if failure.kind in ("edge", "refused"):
        again = failure.kind == "refused" and so_far.sealed and is_of_seal(failure)
        return Next("without_reasoning" if again else "stop")
    step = _on_this_account(failure, tally, so_far, now_s)
    return SWITCH if so_far.requests >= MAX_REQUESTS and step.way != "stop" else step


def _on_this_account(failure: Failure, tally: Tally, so_far: SoFar, now_s: float) -> Next:
    match failure.kind:
        case "expired" | "revoked":
            tally.unauthorized += 1
            return Next("renewed") if tally.unauthorized == 1 else SWITCH
        case "used_up" | "throttled":
            tally.limited += 1
            return _after_limit(failure, tally, so_far.waited_s, now_s)
        case "overloaded":
            tally.overloaded += 1
            if so_far.took_s > MAX_REPEATED_S:
                return Next("stop")
            if tally.overloaded > MAX_OVERLOADED:
                return SWITCH
            return Next("same", FIRST_PAUSE_S * 2 ** (tally.overloaded - 1))
        case _:
            return SWITCH


def is_of_seal(failure: Failure) -> bool:
    """Whether the backend could not open sealed reasoning."""
    words = failure.message.lower()
    told = "encrypted content" in words and "could not be" in words
    return failure.code == "invalid_encrypted_content" or (failure.status == 400 and told)


def reason_of(before: Failure | None, way: Way, *, same: bool) -> str:
    """The reason of the request that follows *before*. same: the same account answers it."""
    if before is None:
        return INITIAL
    if way == "without_reasoning":
        return WITHOUT_REASONING
    family = FAMILY.get(before.kind, "5xx")
    reason = f"retry_{'same' if same else 'switched'}_account_after_{family}"
    return reason if reason in REASONS else f"retry_switched_account_after_{family}"


def _after_limit(failure: Failure, tally: Tally, waited_s: float, now_s: float) -> Next:
    left_s = max((failure.until_s or now_s) - now_s, 0.0)
    if tally.limited > MAX_LIMITED:
        return SWITCH
    # Otherwise it cools, which keeps it from being asked, and may come back within the waits of the turn.
    return Next("same", left_s) if failure.believed and waited_s + left_s <= WAIT_S else Next("switch")

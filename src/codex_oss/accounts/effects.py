"""What a failure or a used-up window does to an account: each a function from one record to the next.

Counterparts: `accounts.failures` reads the failure, `services.account_pool` writes what comes out here.

| failure | the account |
| --- | --- |
| expired, a second time | this access token is not sent again; its refresh token is still good |
| revoked | the same at once; a second time it needs a login |
| workspace | is left alone until a login |
| used_up, throttled | cools until then |
| edge, model, overloaded, refused | stays as it is |

Rules that hold here:

1. A cooldown is only ever extended (`accounts.account.cooled`); only a person ends one early.
2. What is said of a credential counts for that generation of it: whoever signed in meanwhile is not touched.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Switch, cooled
from codex_oss.accounts.failures import USED_UP, Failure

QUOTA_EXHAUSTED: Final = "quota_exhausted"
"""`Cooldown.why` of an account whose own figures said that a window is used up."""


def after_failure(account: Account, failure: Failure, now_ms: int, generation: int, *, again: bool = False) -> Account:
    """The account after a failure that counts.

    generation: of the credential that was sent. again: the same failure came after a refresh, too.
    """
    noted = structs.replace(account, last_error=(now_ms, failure.code or failure.kind))
    match failure.kind:
        case "expired" if again:
            return structs.replace(noted, rejected_generation=max(account.rejected_generation, generation))
        case "revoked":
            dead = max(account.dead_generation, generation) if again else account.dead_generation
            rejected = max(account.rejected_generation, generation)
            return structs.replace(noted, rejected_generation=rejected, dead_generation=dead)
        case "workspace":
            return structs.replace(noted, workspace=Switch(now_ms, False, failure.code))
        case "used_up" | "throttled" if failure.until_s is not None:
            why = failure.code or failure.kind
            return cooled(noted, Cooldown(int(failure.until_s * 1000), why, failure.believed))
        case _:
            return account


def after_exhaustion(account: Account, until_s: float) -> Account:
    """The account whose windows are used up until then, as the backend itself said."""
    return cooled(account, Cooldown(int(until_s * 1000), QUOTA_EXHAUSTED, believed=True))


def without_login(account: Account, generation: int) -> Account:
    """The account whose access token is of no use and that has nothing to renew it with."""
    return structs.replace(account, dead_generation=max(account.dead_generation, generation))


def cools_for_usage(account: Account) -> bool:
    """Whether its cooldown is about what it used, and not about a pause."""
    why = account.cooldown.why
    return why in USED_UP or why in (QUOTA_EXHAUSTED, "used_up") or why.startswith("workspace_")

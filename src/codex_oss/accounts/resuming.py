"""What a look at an account's windows does to its cooldown: ends it, begins one, or neither.

Counterparts: `services.quota_poll` looks and writes; `accounts.effects` says which cooldowns are about usage.

| the look shows | the account cools | then |
| --- | --- | --- |
| quota | for what it used, until a guessed instant | it answers again: the guess is known to be wrong |
| quota | for what it used, until an instant that the backend named | it goes on cooling; ends when a person says so |
| quota | for anything else (throttled, a failed refresh) | it goes on cooling: windows say nothing of that |
| nothing left | not, or less long | it cools until the last reset; 5 minutes where none was named |
| anything, but the cooldown changed meanwhile | | it stays: what came later knows better |

The word of the backend stands against a guess of ours, not against its own word: figures of usage lag behind, and an
account that is let out too early is refused at once. A person who bought a reset knows, and says so.
"""

from __future__ import annotations

from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, cooled
from codex_oss.accounts.effects import QUOTA_EXHAUSTED, cools_for_usage
from codex_oss.accounts.failures import MAX_COOLDOWN_S, USED_UP_GUESS_S
from codex_oss.accounts.quota import Quota, exhausted_until, goes_on, has_quota


def after_look(
    account: Account, before: Cooldown, quota: Quota, now_s: float, *, allowed: bool = True, resumes: bool = False
) -> Account:
    """The account after a look at its windows.

    before: its cooldown when the look began. allowed: False where the backend said that it answers no turns.
    resumes: a person wants it to answer again.
    """
    if account.cooldown != before:
        return account
    if allowed and has_quota(quota):
        ends = cools_for_usage(account) and (resumes or not account.cooldown.believed)
        return structs.replace(account, cooldown=Cooldown()) if ends else account
    used_up = any(window.left_percent is not None and window.left_percent <= 0 for window in quota.windows)
    if not used_up or goes_on(quota.credits):
        return account
    until_s = exhausted_until(quota, now_s)
    end_s = now_s + USED_UP_GUESS_S if until_s is None else min(until_s, now_s + MAX_COOLDOWN_S)
    return cooled(account, Cooldown(int(end_s * 1000), QUOTA_EXHAUSTED, until_s is not None))

"""What to do after an upstream attempt failed: wait and try again, take the next model, or give up.

Counterpart: `lanes.oss` performs it. Rules that hold here:

1. Once one event went out, nothing is tried again: a client would see the text twice.
2. A downgrade is chosen only where the user approved it: `may_replace` admits a fallback of the same or a higher
   capability, or one that the profile's `approved_downgrades` names.
3. `Retry-After` is honoured up to `max_retry_after_s`; a longer one is passed on to the client instead of waited for.
4. What the client itself repeats is not repeated here again (`repeat`): Codex tries a failed turn up to 30 times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import RateLimited, Unavailable, UpstreamError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of retrying. max_retries counts attempts after the first one, per model."""

    max_retries: int = 2
    first_delay_s: float = 0.5
    max_delay_s: float = 30.0
    max_retry_after_s: float = 60.0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The same model once more, after this many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class TryFallback:
    """The next model of the chain, at once; the error stands when there is none."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The error goes to the client."""


NextAttempt = TryAgain | TryFallback | GiveUp


def next_attempt(
    error: UpstreamError,
    *,
    attempt: int,
    events_sent: int,
    remaining_s: float,
    policy: RetryPolicy,
    repeat: bool = False,
) -> NextAttempt:
    """Choose what follows a failed attempt.

    attempt: 1 for the first one on this model. events_sent: events that already went to the client.
    remaining_s: what is left of the turn's total time; a wait that does not fit is not begun.
    repeat: the client repeats a turn that failed a moment ago.
    """
    if events_sent:
        return GiveUp()
    if not error.retryable:
        # Unreachable and used up are final for this server, but another model may live elsewhere.
        elsewhere = isinstance(error, Unavailable) or error.code == "quota_exhausted"
        return TryFallback() if elsewhere else GiveUp()
    delay_s = _delay_s(error, attempt, policy)
    if attempt > (0 if repeat else policy.max_retries) or delay_s is None or delay_s >= remaining_s:
        return TryFallback()
    return TryAgain(delay_s)


def may_replace(profile: ModelProfile, fallback: ModelProfile) -> bool:
    """Say whether *fallback* may answer for *profile*: never a weaker capability that nobody approved."""
    approved = fallback.capability >= profile.capability or fallback.name in profile.approved_downgrades
    return fallback.name != profile.name and approved


def narrowest_window(profile: ModelProfile, profiles: Mapping[str, ModelProfile]) -> int:
    """Tokens that *profile* and every model that may answer for it can read."""
    chain = [profiles[name] for name in profile.fallbacks if name in profiles]
    return min(one.context_tokens for one in (profile, *chain) if one is profile or may_replace(profile, one))


def _delay_s(error: UpstreamError, attempt: int, policy: RetryPolicy) -> float | None:
    """Seconds to wait; None when the peer asks for more patience than we have."""
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return max(0.0, error.retry_after_s) if error.retry_after_s <= policy.max_retry_after_s else None
    exponent = min(attempt - 1, 16)
    return float(min(policy.first_delay_s * 2**exponent, policy.max_delay_s))

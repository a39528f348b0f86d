"""When somebody else answers than was asked for: the reason codes, and the words in which a client is told.

Counterparts: `lanes.oss` finds it out and puts the words into `TurnStarted.deviation`; `server.turn_response` tells
them in the header `x-codex-oss-route`, `wire.responses_stream` in `metadata.codex_oss_route` of the response.

    asked=ocg-kimi-k2.6; answered=ocg-deepseek-v4-pro; reason=fallback_upstream_unavailable

Rules that hold here:

1. Every reason is a row of `REASONS`; docs/errors.md lists them.
2. The words are one line of printable ASCII of at most `MAX_CHARS`, whatever name a client asked for: they travel in a
   header.
3. Never the header `openai-model`: Codex 0.169 takes it for a reroute for safety reasons and says so.
"""

from __future__ import annotations

import re
from typing import Final

INITIAL: Final = "initial_attempt"
RETRIED: Final = "retry_same_model"
FALLBACK: Final = "fallback_"
OF_ACCOUNTS: Final = ("retry_same_account", "retry_switched_account")
"""How reasons of `accounts.failover` begin: another account answers, or the same one again, with the same model."""
REASONS: Final[dict[str, str]] = {
    INITIAL: "the model that was asked for answered at once",
    RETRIED: "the model that was asked for answered after failed tries",
    "fallback_upstream_unavailable": "its server could not be reached, was overloaded or did not answer in time",
    "fallback_rate_limited": "its server limits the rate for longer than the bridge waits",
    "fallback_quota_exhausted": "its server's plan or quota is used up",
    "fallback_circuit_open": "its server failed several times in a row and is left alone for a while",
    "fallback_upstream_protocol_error": "its server answered with something else than a model's answer",
    "fallback_stream_interrupted": "its server broke off before the first word",
    "fallback_upstream_error": "its server reported an error without telling which",
    "gpt_alias": "the name of a GPT model is placed on an open model by GPT_MODEL_STRATEGY=oss",
}
"""Why this model answers."""
MAX_NAME_CHARS: Final = 128
MAX_CHARS: Final = 400
_UNSAFE: Final = re.compile(r"[^!-:<-~]")
"""All but visible ASCII; `;` separates the parts."""
_UNSAFE_LABEL: Final = re.compile(r"[^ -:<-~]")


def fallback_reason(code: str) -> str:
    """The reason of a fallback after an error of this code."""
    reason = FALLBACK + code
    return reason if reason in REASONS else "fallback_upstream_error"


def is_deviation(reason: str) -> bool:
    """Does somebody else answer than was asked for?"""
    return reason not in (INITIAL, RETRIED) and not reason.startswith(OF_ACCOUNTS)


def word_deviation(asked: str, answered: str, reason: str) -> str:
    """The words for a client; empty when nothing deviates.

    asked: the name in the request. answered: the alias of the profile that answers. reason: a key of `REASONS`.
    """
    if not is_deviation(reason):
        return ""
    return f"asked={_name(asked)}; answered={_name(answered)}; reason={reason}"


def word_switch(answers: str, instead_of: str, why: str) -> str:
    """The words for a client whose turn another account answers than before. why: a code of docs/accounts-lane.md."""
    labels = [_UNSAFE_LABEL.sub("?", label[:MAX_NAME_CHARS]) for label in (answers, instead_of)]
    return f"account={labels[0]}; instead_of={labels[1]}; reason={why}"


def _name(name: str) -> str:
    return _UNSAFE.sub("?", name[:MAX_NAME_CHARS])

"""The words that a public report may show as they are; every other text gets a pseudonym (`policy.pseudonyms`).

They are words of ours or of a protocol: codes, lanes, outcomes, plans. A word that is missing here costs a reader of a
report one guess; one that is here by mistake could say whose report it is. So: only what a table of the code has.
"""

from __future__ import annotations

from typing import Final, get_args

from codex_oss.accounts.account import Hindrance
from codex_oss.accounts.failover import REASONS
from codex_oss.accounts.failures import Kind

PLANS: Final = frozenset({"free", "go", "plus", "pro", "prolite", "team", "business", "enterprise", "edu", "unknown"})
BACKEND_CODES: Final = frozenset(
    {
        "codex_workspace_access_denied",
        "deactivated_workspace",
        "edge_challenge",
        "insufficient_quota",
        "internal_server_error",
        "invalid_workspace_selected",
        "model_not_found",
        "model_not_supported",
        "rate_limit_exceeded",
        "redirected",
        "server_error",
        "server_is_overloaded",
        "slow_down",
        "token_invalidated",
        "token_revoked",
        "too_many_requests",
        "usage_limit_reached",
        "usage_not_included",
    }
)
ISSUER_CODES: Final = frozenset(
    {"invalid_grant", "invalid_client", "refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated"}
)
OURS: Final = frozenset(
    {
        *("user", "migrated", "refresh_failed", "still_due", "quota_exhausted", "exhausted", "signed_out"),
        *("completed", "incomplete", "failed", "refused", "cancelled", "answered", "cut"),
        *("responses", "websocket", "chat", "chatgpt", "oss", "gpt", "mission", "compaction", "passthrough"),
    }
)
MACHINES: Final = frozenset({"x86_64", "aarch64", "arm64", "riscv64"})
WORDS: Final = frozenset(
    {*PLANS, *BACKEND_CODES, *ISSUER_CODES, *OURS, *MACHINES, *REASONS, *get_args(Hindrance), *get_args(Kind)}
)

"""The models of the user's accounts in the list of this bridge, with `GPT_MODEL_STRATEGY=accounts`.

Counterparts: `services.account_catalog` knows them, `wire.merged_models` puts two lists together, `server.app` answers.

Rules that hold here:

1. A list is not late for an account: what is not known within WAIT_S is listed the next time.
2. A name that this bridge answers to itself is ours, as in `policy.routing`.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from codex_oss.accounts.models import Entry, openai_models
from codex_oss.wire.merged_models import merge_models

WAIT_S: Final = 4.0
"""Codex 0.169 itself gives up after 5 s."""


class Catalog(Protocol):
    """Whoever knows what the accounts have; `services.account_catalog.AccountCatalog`."""

    def models(self) -> list[Entry]:
        """In Codex' form."""

    async def all_soon(self, wait_s: float) -> None:
        """Have it looked up where that is due."""


class AccountModels:
    """What the accounts add. catalog: None where no account answers."""

    def __init__(self, catalog: Catalog | None) -> None:
        self._catalog = catalog

    async def beside(self, ours: dict[str, Any]) -> dict[str, Any]:
        """Our answer to `GET /v1/models` with the accounts' models in front. ours: has `models` and `data`."""
        if self._catalog is None:
            return ours
        await self._catalog.all_soon(WAIT_S)
        entries = self._catalog.models()
        created = ours["data"][0]["created"] if ours["data"] else 0
        return merge_models({"models": entries, "data": openai_models(entries, created)}, ours)

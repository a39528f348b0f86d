"""The lane `chatgpt` of one bridge: pool, requests and signals tied to the user's accounts.

Counterparts: `wiring.bridge` builds it when `GPT_MODEL_STRATEGY=accounts`, `wiring.accounts` has what it is tied to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from msgspec import Struct

from codex_oss.accounts.book import STRATEGIES
from codex_oss.accounts.instructions import InstructionSet, with_sets
from codex_oss.config import Config
from codex_oss.lanes.account_request import AccountRequests, Identity, named_as
from codex_oss.lanes.account_signals import AccountSignals
from codex_oss.lanes.chatgpt import ChatGptLane
from codex_oss.policy.outbound import ACCOUNT_BASE, AccountBackend
from codex_oss.services.account_pool import AccountPool
from codex_oss.services.attempt_book import AttemptBook
from codex_oss.services.attempt_snapshots import FOLDER, AttemptSnapshots
from codex_oss.services.backend_client import BackendClient
from codex_oss.services.backend_reads import Identity as ReadsIdentity
from codex_oss.services.capacity import CapacityGate
from codex_oss.services.upstream import Deadlines
from codex_oss.wiring.accounts import Accounts


class ChatGptParts(Struct, frozen=True):
    """What a bridge holds of the lane."""

    lane: ChatGptLane
    pool: AccountPool
    accounts: Accounts
    signals: AccountSignals
    backend: BackendClient

    async def aclose(self) -> None:
        """End what is under way and close the connections."""
        await self.signals.aclose()
        await self.backend.aclose()
        await self.accounts.aclose()


def build_chatgpt(
    config: Config,
    accounts: Accounts,
    gate: CapacityGate,
    attempts: AttemptBook,
    deadlines: Deadlines,
    redact: Callable[[str], str],
    sets: Sequence[InstructionSet] = (),
) -> ChatGptParts:
    """Build the lane; opens nothing yet. sets: added to every turn's instructions."""
    strategy = next((known for known in STRATEGIES if known == config.account_strategy), None)
    identity = cast("Identity", config.account_identity)
    accounts.identity = ReadsIdentity(*named_as(identity))
    catalog = accounts.catalog
    pool = AccountPool(accounts.store, accounts.refresh, accounts.affinity, strategy=strategy, catalog=catalog)
    signals = AccountSignals(pool, accounts.quotas, accounts.quota_poll)
    accounts.quota_poll.told = signals.crossed
    backend = BackendClient(deadlines)
    places = AccountBackend(config.chatgpt_base_url or ACCOUNT_BASE)
    lane = ChatGptLane(
        pool,
        AccountRequests(
            backend,
            places,
            signals,
            identity=identity,
            shape=lambda told: with_sets(told, sets),
            snapshots=AttemptSnapshots(accounts.folder / FOLDER) if config.snapshots else None,
        ),
        signals,
        gate,
        attempts,
        limit_of=lambda model: config.model_concurrency.get(model, config.max_upstream_concurrency),
        total_s=min(deadlines.total_s, config.turn_deadline_s),
        redact=redact,
    )
    return ChatGptParts(lane, pool, accounts, signals, backend)

"""The user's accounts: the store, the issuer and the refresh, as the environment places them.

Counterparts: `wiring.bridge` ties the lane to them, `cli` and `tui` change them. Nothing is opened before the first
use, and neither the event loop nor an HTTP client is imported for a verb that only reads the book.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from codex_oss.accounts.oauth import ISSUER
from codex_oss.errors import BridgeError, ConfigInvalid, StoreError
from codex_oss.policy.outbound import ACCOUNT_BASE, AccountBackend
from codex_oss.services.account_store import AccountStore, accounts_folder
from codex_oss.setting_values import parse_loopback_url

if TYPE_CHECKING:
    from codex_oss.services.account_calls import AccountCalls
    from codex_oss.services.account_catalog import AccountCatalog
    from codex_oss.services.affinity_store import AffinityStore
    from codex_oss.services.backend_reads import BackendReads, Identity
    from codex_oss.services.delegation import ToolReply
    from codex_oss.services.issuer import Issuer
    from codex_oss.services.proactive_refresh import ProactiveRefresh
    from codex_oss.services.quota_poll import QuotaPoll
    from codex_oss.services.quota_store import QuotaStore
    from codex_oss.services.sign_in import SignIn
    from codex_oss.services.token_refresh import TokenRefresh

ISSUER_ENV: Final = "CODEX_OSS_OAUTH_ISSUER"
"""Places the issuer on this machine, for tests; any other address is refused."""
BACKEND_ENV: Final = "CODEX_OSS_CHATGPT_BASE_URL"
"""Places the backend on this machine, for tests; any other address is refused."""


class Accounts:
    """Everything about the user's accounts. folder: where the book lies; `cache/` in it is what can be lost."""

    identity: Identity | None = None
    """Who asks the backend for quotas and models, where it is not as ever; set before the first use."""

    def __init__(
        self,
        folder: Path,
        issuer_base: str,
        environ: Mapping[str, str] = MappingProxyType({}),
        backend_base: str = ACCOUNT_BASE,
    ) -> None:
        self.folder = folder
        self.issuer_base = issuer_base
        self.backend_base = backend_base
        self._environ = environ

    @cached_property
    def store(self) -> AccountStore:
        """The book on disk."""
        return AccountStore(self.folder)

    @cached_property
    def issuer(self) -> Issuer:
        """Who gives tokens."""
        from codex_oss.services.issuer import Issuer

        return Issuer(self.issuer_base)

    @cached_property
    def refresh(self) -> TokenRefresh:
        """The refreshes of this process."""
        from codex_oss.services.token_refresh import TokenRefresh

        return TokenRefresh(self.store, self.issuer)

    @cached_property
    def sign_in(self) -> SignIn:
        """The sign-ins of this process."""
        from codex_oss.services.sign_in import SignIn, times_of

        return SignIn(self.store, self.issuer, times=times_of(self._environ))

    @cached_property
    def quotas(self) -> QuotaStore:
        """What is known of each account's windows."""
        from codex_oss.services.quota_store import QuotaStore

        return QuotaStore(self.folder)

    @cached_property
    def reads(self) -> BackendReads:
        """Who reads from the backend, turns apart."""
        from codex_oss.services.backend_reads import BackendReads

        return BackendReads(AccountBackend(self.backend_base), self.identity)

    @cached_property
    def quota_poll(self) -> QuotaPoll:
        """Who asks the backend for quotas."""
        from codex_oss.services.quota_poll import QuotaPoll

        return QuotaPoll(self.refresh, self.store, self.quotas, self.reads)

    @cached_property
    def catalog(self) -> AccountCatalog:
        """Which models each account has."""
        from codex_oss.services.account_catalog import AccountCatalog
        from codex_oss.services.client_version import ClientVersion

        return AccountCatalog(self.folder, self.refresh, self.store, self.reads, ClientVersion(self.folder))

    @cached_property
    def affinity(self) -> AffinityStore:
        """Which account each conversation is bound to."""
        from codex_oss.services.affinity_store import AffinityStore

        return AffinityStore(self.folder)

    @cached_property
    def proactive(self) -> ProactiveRefresh:
        """Who renews tokens ahead of need, in a bridge."""
        from codex_oss.services.proactive_refresh import ProactiveRefresh

        return ProactiveRefresh(self.store, self.refresh)

    @cached_property
    def calls(self) -> AccountCalls:
        """What the MCP tools about accounts do."""
        from codex_oss.services.account_calls import AccountCalls

        return AccountCalls(self.store, self.quotas.known)

    def outlook(self, wanted_s: float) -> str:
        """One sentence: whether the quota lasts for so long, from what is on disk; empty where nobody can answer."""
        from datetime import datetime

        from codex_oss.accounts.outlook import outlook_line

        try:
            book = self.store.read()
        except StoreError:
            return ""  # whoever needs the book says it
        return outlook_line(book, self.quotas.records(), time.time(), wanted_s, datetime.fromtimestamp)

    async def aclose(self) -> None:
        """Let refreshes under way end, then close listeners and connections."""
        if "proactive" in self.__dict__:
            await self.proactive.aclose()
        if "sign_in" in self.__dict__:
            await self.sign_in.aclose()
        if "quota_poll" in self.__dict__:
            await self.quota_poll.aclose()
        if "catalog" in self.__dict__:
            await self.catalog.aclose()
        if "reads" in self.__dict__:
            await self.reads.aclose()
        if "quotas" in self.__dict__:
            self.quotas.flush()
        if "refresh" in self.__dict__:
            await self.refresh.aclose()
        if "issuer" in self.__dict__:
            await self.issuer.aclose()


def open_accounts(environ: Mapping[str, str], backend_base: str = "") -> Accounts:
    """The accounts of this user. backend_base: where the configuration places the backend; empty: as BACKEND_ENV says.

    Raises StoreError without a home, ConfigInvalid for an issuer or a backend that is placed, but not here.
    """
    folder = accounts_folder(environ)
    if folder is None:
        raise StoreError(
            "There is no folder for accounts: neither HOME nor XDG_CONFIG_HOME is an absolute path.",
            hint="Set HOME.",
            code="accounts_unreadable",
        )
    backend = backend_base or _placed(environ, BACKEND_ENV) or ACCOUNT_BASE
    return Accounts(folder, issuer_base(environ), environ, backend)


async def call_account_tool(environ: Mapping[str, str], name: str, arguments: Mapping[str, Any]) -> ToolReply:
    """Carry out one of the MCP tools about accounts: they are the user's, no project and no bridge is needed."""
    from codex_oss.services.delegation import refusal

    try:
        accounts = open_accounts(environ)
    except BridgeError as exc:
        return refusal(exc)
    return await accounts.calls.call(name, arguments)


def issuer_base(environ: Mapping[str, str]) -> str:
    """The issuer's address: the real one, or the one on this machine that ISSUER_ENV names."""
    return _placed(environ, ISSUER_ENV) or ISSUER


def _placed(environ: Mapping[str, str], name: str) -> str:
    """The address on this machine that a variable names; empty for none. Raises ConfigInvalid for any other."""
    told = environ.get(name, "").strip()
    try:
        return parse_loopback_url(told) if told else ""
    except ValueError as exc:
        raise ConfigInvalid(f"{name}: {exc}.") from exc

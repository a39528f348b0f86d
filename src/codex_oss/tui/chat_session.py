"""What the chat talks to: a session of the agent on a project, its models, and who of the accounts answers.

Counterparts: `wiring.agent` opens a session, `tui.chat_app` shows it, `tui.chat` is the verb.

Rule: one session is open at a time, since its journal is locked. A model that cannot be had costs nothing: the session
is opened again with the one before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path

from codex_oss.accounts.book import STRATEGIES, Book
from codex_oss.accounts.quota import Quota
from codex_oss.accounts.quota_text import left_text
from codex_oss.accounts.selection import choose
from codex_oss.accounts.view import label_of
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError
from codex_oss.policy.routing import choose_route, known_models
from codex_oss.services.agent_session import AgentSession
from codex_oss.services.settings import Settings, read_settings
from codex_oss.tui.chat_app import Chat
from codex_oss.tui.full_screen import shown
from codex_oss.wiring.accounts import Accounts, open_accounts
from codex_oss.wiring.agent import open_agent


def chat_with(project: Path, environ: Mapping[str, str], model: str, session_id: str) -> int:
    """Chat until the person leaves; the exit status. Raises what `wiring.agent.open_agent` raises."""
    # Lanes log what the screen says anyway; a line on stderr would be drawn over it.
    logging.getLogger("codex_oss").addHandler(logging.NullHandler())
    return asyncio.run(_chat(project, environ, model, session_id))


async def _chat(project: Path, environ: Mapping[str, str], model: str, session_id: str) -> int:
    host = AgentHost(project, environ)
    try:
        await host.open(model, session_id)
        status = await shown(Chat(host))
        sys.stderr.write(f"session: {host.session.session_id}\n")
        return status
    finally:
        await host.aclose()


class AgentHost:
    """The open session. `open` comes first."""

    def __init__(self, project: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._project = project
        self._environ = environ
        self._stack = AsyncExitStack()
        self._session: AgentSession | None = None

    @property
    def session(self) -> AgentSession:
        """The session that is open."""
        assert self._session is not None
        return self._session

    async def open(self, model: str, session_id: str) -> None:
        """Open a session. Raises what `wiring.agent.open_agent` raises."""
        opened = open_agent(self._project, self._environ, model=model, session_id=session_id)
        self._session = await self._stack.enter_async_context(opened)

    async def switch(self, model: str) -> None:
        """Open the same session with another model. Raises BridgeError; then it is open with the old one."""
        before, session_id = self.session.model, self.session.session_id
        await self._stack.aclose()
        try:
            await self.open(model, session_id)
        except BridgeError:
            await self.open(before, session_id)
            raise

    async def models(self) -> Sequence[tuple[str, str]]:
        """The models that can be asked, name and what it is: those of the configuration, and those of the accounts."""
        return await asyncio.to_thread(self._models)

    async def account(self, model: str, session_id: str) -> str:
        """Who of the accounts answers this conversation next, and what is left there; empty for an open model."""
        return await asyncio.to_thread(self._account, model, session_id)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._stack.aclose()
        if "_accounts" in self.__dict__:
            await self._accounts.aclose()

    @cached_property
    def _accounts(self) -> Accounts:
        return open_accounts(self._environ, self._settings().config.chatgpt_base_url or "")

    def _settings(self) -> Settings:
        return read_settings(self._project, {}, self._environ)

    def _models(self) -> list[tuple[str, str]]:
        settings = self._settings()
        found = [(name, _words(name, profile)) for name, profile in known_models(settings.profiles)]
        if settings.config.gpt_strategy == "accounts":
            slugs = [str(entry.get("slug", "")) for entry in self._accounts.catalog.models()]
            found += [(slug, f"{slug}  (ChatGPT account)") for slug in slugs if slug]
        return found

    def _account(self, model: str, session_id: str) -> str:
        settings = self._settings()
        if choose_route(model, settings.profiles, settings.config.gpt_strategy).lane != "chatgpt":
            return ""
        accounts = self._accounts
        strategy = next((known for known in STRATEGIES if known == settings.config.account_strategy), None)
        book, now_ms = accounts.store.read(), int(time.time() * 1000)
        choice = choose(book, accounts.affinity.read(), now_ms, session=session_id, strategy=strategy)
        person = choice.account.person_key if choice.account else ""
        return account_words(book, person, accounts.quotas.known())


def account_words(book: Book, person: str, quotas: Mapping[str, Quota]) -> str:
    """`ann@example.org (plus), 5h 72% left, weekly 38% left`; unknown windows are left out."""
    account = book.get(person)
    if account is None:
        return "no account can answer now"
    quota = quotas.get(person)
    windows = [window for window in (quota.windows if quota else ()) if window.left_percent is not None]
    return ", ".join([label_of(account), *(f"{window.name} {left_text(window.left_percent)}" for window in windows)])


def _words(name: str, profile: ModelProfile) -> str:
    return name if name == profile.model else f"{name}  ({profile.model})"

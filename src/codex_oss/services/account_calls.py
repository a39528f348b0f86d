"""What each of the tools about the user's accounts does.

Counterparts: `services.account_tools` names them, `accounts.changes` are the changes, `accounts.view` what is shown.

Rules that hold here:

1. An account is named by its place in the list, from 1 on. What is answered names it in full, so that a list that
   changed meanwhile is noticed.
2. Answers are made of `AccountView` alone: no token, no path, nothing to sign in with. E-mails are shown: whoever may
   switch accounts has to tell them apart.
3. What cannot be done is an answer with a code, never an exception.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.changes import chosen, removed, switched
from codex_oss.accounts.quota import Quota
from codex_oss.accounts.view import AccountView, WindowView, active_of, as_told, label_of, views_of
from codex_oss.errors import AccountError, BridgeError, InvalidRequest, fault_of
from codex_oss.policy.printable import printable
from codex_oss.services.account_store import AccountStore
from codex_oss.services.account_tools import ACCOUNT_TOOLS, IndexArguments, RemoveArguments
from codex_oss.services.delegation import ToolReply, refusal

log = logging.getLogger(__name__)

HELD: Final = {
    "disabled": "disabled",
    "needs_login": "needs a login (codex-oss login)",
    "workspace_unavailable": "its workspace does not let it in",
    "cooling_down": "cooling",
}
"""A hindrance in words."""


class AccountCalls:
    """Carries the tools out. quotas: what is known of windows, by person key. clock: epoch seconds."""

    def __init__(
        self,
        store: AccountStore,
        quotas: Callable[[], Mapping[str, Quota]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._quotas = quotas
        self._clock = clock
        self._doers: Final[dict[str, Callable[[Any], ToolReply]]] = {
            "codex-status": self._status,
            "codex-switch-accounts": self._switch,
            "codex-toggle-account": self._toggle,
            "codex-remove-account": self._remove,
        }

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolReply:
        """Carry one tool out. Never raises for what was asked: the reply then is an error with a code."""
        tool = next(tool for tool in ACCOUNT_TOOLS if tool.name == name)
        try:
            asked = msgspec.convert(dict(arguments), tool.arguments)
            return await asyncio.to_thread(self._doers[name], asked)
        except msgspec.ValidationError as exc:
            told = f"The arguments of {name} do not fit: {exc}."
            return refusal(InvalidRequest(told, code="arguments_invalid"))
        except AccountError as exc:
            return refusal(exc)
        except BridgeError as exc:
            # Messages of the store name a path, which is nothing for a model.
            log.warning("the tool %s failed: %s", name, exc.message)
            told = "The accounts cannot be read or written."
            return refusal(BridgeError(told, hint="codex-oss accounts doctor says why.", code=exc.code))
        except Exception as exc:
            log.error("the tool %s failed unexpectedly: %s", name, fault_of(exc))
            return refusal(BridgeError("It failed unexpectedly; the log has the details."))

    def _status(self, _: Struct) -> ToolReply:
        book = self._store.read()
        views = views_of(book, self._quotas(), self._now_ms())
        rows = [{"index": number, **as_told(view)} for number, view in enumerate(views, 1)]
        lines = [self._line(number, view) for number, view in enumerate(views, 1)]
        text = "\n".join(lines) or "No account yet; the user signs in with: codex-oss login"
        return ToolReply(printable(text), {"accounts": rows, "strategy": book.strategy or "sticky"})

    def _switch(self, asked: IndexArguments) -> ToolReply:
        def change(book: Book) -> Book:
            account = _at(book, asked.index)
            if not account.switch.enabled:
                hint = "codex-toggle-account enables it."
                raise AccountError(f"{_called(asked.index, account)} is disabled.", hint=hint, code="account_disabled")
            return chosen(book, account.person_key, self._now_ms())

        return self._told("Switched to", asked.index, change)

    def _toggle(self, asked: IndexArguments) -> ToolReply:
        verbs: list[str] = []

        def change(book: Book) -> Book:
            account = _at(book, asked.index)
            enabled = not account.switch.enabled
            verbs.append("Enabled" if enabled else "Disabled")
            return switched(book, account.person_key, self._now_ms(), enabled=enabled)

        return self._told(lambda: verbs[-1], asked.index, change)

    def _remove(self, asked: RemoveArguments) -> ToolReply:
        def change(book: Book) -> Book:
            account = _at(book, asked.index)
            if not asked.confirm:
                told = f"{_called(asked.index, account)} would be removed for good."
                raise AccountError(told, hint="Ask the user, then call again with confirm=true.", code="not_confirmed")
            return removed(book, account.person_key, self._now_ms())

        return self._told("Removed", asked.index, change)

    def _told(self, verb: str | Callable[[], str], index: int, change: Callable[[Book], Book]) -> ToolReply:
        """Change the book; the answer is the verb, `#index`, the label and the state that it is in now."""
        seen: list[Account] = []

        def noted(book: Book) -> Book:
            after = change(book)
            seen.append(_at(book, index))
            return after

        after = self._store.change(noted)
        account, now_ms = seen[-1], self._now_ms()
        views = dict(zip((one.person_key for one in after.accounts), views_of(after, {}, now_ms), strict=True))
        view = views.get(account.person_key)
        state = _state(view) if view else "gone"
        active = active_of(after)
        said = verb if isinstance(verb, str) else verb()
        text = f"{said} {_called(index, account)}: {state}."
        if active is None:
            text += " No account is left that may answer."
        elif active.person_key != account.person_key:
            text += f" {label_of(active)} answers new conversations."
        facts = {"index": index, "account": as_told(view) if view else None, "state": state}
        return ToolReply(printable(text), facts)

    def _line(self, number: int, view: AccountView) -> str:
        label = (f"{view.email} ({view.plan})" if view.plan else view.email) if view.email else view.key
        windows = "; ".join(_window(window, self._clock()) for window in view.quota) or "quota unknown"
        return f"#{number} {label}: {_state(view)}; {windows}"

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _at(book: Book, index: int) -> Account:
    """The account at a place from 1 on. Errors: AccountError `account_unknown`."""
    if index > len(book.accounts):
        raise AccountError(
            f"There is no account #{index}; there are {len(book.accounts)}.",
            hint="codex-status lists them.",
            code="account_unknown",
        )
    return book.accounts[index - 1]


def _called(index: int, account: Account) -> str:
    return f"#{index} {label_of(account)}"


def _state(view: AccountView) -> str:
    words = HELD[view.reason] if view.reason else "enabled"
    if view.reason == "cooling_down" and view.cooldown_until is not None:
        words += f" until {_instant(view.cooldown_until)}"
    marks = [word for word, so in (("active", view.active), ("pinned", view.pinned)) if so]
    return ", ".join([words, *marks])


def _window(window: WindowView, now_s: float) -> str:
    if window.used_percent is None:
        return f"{window.window} unknown"
    left = f"{window.window} {max(100 - window.used_percent, 0):.4g}% left"
    over = window.resets_at is not None and window.resets_at > now_s
    return f"{left}, resets {_instant(window.resets_at)}" if over and window.resets_at is not None else left


def _instant(at_s: float) -> str:
    """UTC: who reads this may sit anywhere."""
    try:
        return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(at_s))
    except (ValueError, OverflowError, OSError):
        return "unknown"

"""An agent on one project: a bridge in this process, a journal, the tools and a sandbox, tied to one session.

Counterparts: `cli.run` and the chat screen open it; `services.agent_session` is what they get.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from codex_oss.accounts.instructions import with_sets
from codex_oss.agent.events import Notice
from codex_oss.agent.loop import Limits
from codex_oss.agent.prompt import MAX_PROJECT_WORDS_CHARS, instructions
from codex_oss.config import Config
from codex_oss.errors import InvalidRequest, StoreError
from codex_oss.policy.printable import printable
from codex_oss.policy.routing import GPT_NAME
from codex_oss.policy.scope import WHOLE_PROJECT, Scope
from codex_oss.policy.truncation import truncated
from codex_oss.services.admission import PATTERN_FILES, read_patterns
from codex_oss.services.agent_requests import AgentRequests
from codex_oss.services.agent_session import AgentSession, Setup
from codex_oss.services.agent_shell import ProjectShell
from codex_oss.services.agent_tools import AgentTools, Shell
from codex_oss.services.instruction_sets import read_sets
from codex_oss.services.local_key import user_state_folder
from codex_oss.services.project_files import FileRefused
from codex_oss.services.session_journal import SessionJournal, check_session_id, sessions_folder
from codex_oss.services.settings import Settings, read_settings
from codex_oss.services.state_folder import STATE_DIR, open_state_folder
from codex_oss.wire.events import Lane
from codex_oss.wire.items import TurnRequest
from codex_oss.wiring.accounts import Accounts
from codex_oss.wiring.bridge import Bridge, build

PROJECT_WORDS: Final = "AGENTS.md"
MAX_NAMES_TOLD: Final = 12


@asynccontextmanager
async def open_agent(
    project: Path,
    environ: Mapping[str, str],
    *,
    model: str = "",
    session_id: str = "",
    limits: Limits | None = None,
    approve_all: bool = False,
    shell: Shell | None = None,
) -> AsyncIterator[AgentSession]:
    """A session on *project*; leaving the context closes everything that it opened.

    model: empty takes that of the resumed session, else `run_model` of the configuration.
    session_id: empty makes a new one; an unknown one begins a session of that name.
    Raises ConfigInvalid, InvalidRequest (model_missing, session_id_invalid), UnknownModel, StoreError.
    """
    settings = read_settings(project, {}, environ)
    journal = _journal(project, environ, session_id)
    try:
        name = model or journal.conversation.model or settings.config.run_model
        if not name:
            raise _model_missing(settings)
        sets = read_sets(settings.config.instruction_set, environ)
        bridge = build(_with_accounts(settings, name, project, environ), project, environ)
        try:
            bridge.lane_for(TurnRequest("resp_agent", name, ()))  # an unknown name is refused before anybody types
            with suppress(StoreError):  # what cannot be kept there (the request log) fails no turn
                open_state_folder(project / STATE_DIR)
            setup = Setup(
                session_id=journal.path.stem,
                model=name,
                lane_for=_lane_of(bridge),
                tools=_tools(bridge, project, name, shell or _shell(settings.config, project, environ)),
                journal=journal,
                limits=limits or Limits(),
                instructions=with_sets(instructions(_project_words(bridge)), sets),
                project=str(project),
                approve_all=approve_all,
                new_id=lambda: uuid.uuid4().hex,
                fit=lambda request: truncated(request, bridge.route(name).profile),
            )
            session = AgentSession(setup)
            if bridge.chatgpt is not None:
                bridge.chatgpt.signals.listen(lambda *crossed: session.tell(_quota_notice(*crossed)))
                if bridge.route(name).lane == "chatgpt":
                    _tell_outlook(session, bridge.chatgpt.accounts, setup.limits)
            try:
                yield session
            finally:
                await session.aclose()
        finally:
            await bridge.aclose()
    finally:
        journal.close()


def _journal(project: Path, environ: Mapping[str, str], session_id: str) -> SessionJournal:
    wanted = check_session_id(session_id or str(uuid.uuid4()))
    state = user_state_folder(environ)
    if state is None:
        raise StoreError(
            "There is no folder for sessions: neither HOME nor XDG_STATE_HOME is an absolute path.",
            hint="Set HOME.",
            code="session_unreadable",
        )
    return SessionJournal(sessions_folder(state, project), wanted)


def _with_accounts(settings: Settings, model: str, project: Path, environ: Mapping[str, str]) -> Settings:
    """The settings with which *model* is asked: a GPT name means the user's accounts, unless it is placed elsewhere.

    What `gpt_strategy` says of them is about clients of a bridge; here the user names the model.
    """
    if GPT_NAME.fullmatch(model) and settings.config.gpt_strategy in ("error", "passthrough"):
        return read_settings(project, {"gpt_strategy": "accounts"}, environ)
    return settings


def _quota_notice(account: str, window: str, left_percent: float) -> Notice:
    return Notice("quota_threshold", f"{account} has {left_percent:g} % of its {window} window left.")


def _tell_outlook(session: AgentSession, accounts: Accounts, limits: Limits) -> None:
    """Before the first turn: whether the quota lasts for one, as far as anybody knows."""
    if line := accounts.outlook(limits.timeout_s):
        session.tell(Notice("quota_outlook", line))


def _shell(config: Config, project: Path, environ: Mapping[str, str]) -> ProjectShell:
    """Commands in the sandbox, as the user's own settings have it."""
    readable = tuple(Path(place).expanduser() for place in config.sandbox_readable)
    return ProjectShell(project, environ, allow_none=config.sandbox == "optional", readable=readable)


def _lane_of(bridge: Bridge) -> Callable[[TurnRequest], Lane]:
    """The lane of a request, with a line in the project's request log for each answer."""
    notes = AgentRequests(bridge.requests, bridge.attempts, lambda text: _shown(bridge, text))

    def lane_for(request: TurnRequest) -> Lane:
        route, lane = bridge.lane_for(request)
        return notes.noted(lane, route)

    return lane_for


def _shown(bridge: Bridge, text: str) -> str:
    return printable(bridge.redactor.redact(text).text)


def _tools(bridge: Bridge, project: Path, model: str, shell: Shell) -> AgentTools:
    """The whole project, without what its own files hide. Nobody admits missions here: critical paths are readable."""
    ignored, _, linked = (read_patterns(project, name) for name in PATTERN_FILES)
    scope = Scope(roots=(WHOLE_PROJECT,), ignored=ignored, linked=linked, guards_critical=False)
    # A byte for each token that it reads: about a quarter of its window for one result.
    shown_bytes = bridge.route(model).profile.context_tokens
    return AgentTools(bridge.root, scope, bridge.redactor, shell, max_shown_bytes=shown_bytes)


def _project_words(bridge: Bridge) -> str:
    """What the project tells its agents, without secrets; empty when it says nothing."""
    try:
        content = bridge.root.read_file(PROJECT_WORDS, MAX_PROJECT_WORDS_CHARS)
    except FileRefused:
        return ""
    return _shown(bridge, content.data.decode(errors="replace"))


def _model_missing(settings: Settings) -> InvalidRequest:
    names = [profile.alias for profile in settings.profiles.values()]
    more = f" and {len(names) - MAX_NAMES_TOLD} more" if len(names) > MAX_NAMES_TOLD else ""
    return InvalidRequest(
        "No model is named, and the configuration has no default.",
        hint=f"Name one with -m, or set run_model: {', '.join(names[:MAX_NAMES_TOLD])}{more}.",
        code="model_missing",
        param="model",
    )

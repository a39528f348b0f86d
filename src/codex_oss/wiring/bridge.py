"""One running bridge: services are built, lanes are tied to them.

Counterparts: `services.settings` reads what is to be built; `server` and `cli` call `build`; everything below takes its
collaborators as arguments. Adding a lane is one line in `build`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from codex_oss.config import DEFAULT_LOCAL_KEY, DEFAULT_UPSTREAM_BASE, Config
from codex_oss.contracts.profiles import PRIMARY_KEY_ENV, ModelProfile
from codex_oss.errors import InvalidRequest, RequestError, StoreError
from codex_oss.lanes.aliased import aliased
from codex_oss.lanes.checked import CheckedLane
from codex_oss.lanes.compaction import CompactionLane
from codex_oss.lanes.mission import MissionLane, carries_mission
from codex_oss.lanes.oss import OssLane
from codex_oss.lanes.with_files import WithFiles
from codex_oss.policy.breaker import BreakerPolicy, Breakers
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.held_values import held_in_environment
from codex_oss.policy.key_trust import may_hold_key
from codex_oss.policy.retry import RetryPolicy
from codex_oss.policy.routing import Route, choose_route, known_models
from codex_oss.services.admission import AdmissionDesk
from codex_oss.services.attempt_book import AttemptBook
from codex_oss.services.capacity import CapacityGate
from codex_oss.services.delivery_log import DeliveryBook
from codex_oss.services.event_log import Seal
from codex_oss.services.instruction_sets import read_sets
from codex_oss.services.local_key import user_state_folder
from codex_oss.services.mission_control import MissionControl
from codex_oss.services.mission_lanes import MissionLanes
from codex_oss.services.mission_runner import MissionRunner
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.pdf_text import PdfTexts
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.relay import RelayClient
from codex_oss.services.request_log import RequestLog
from codex_oss.services.response_rows import Bounds
from codex_oss.services.response_store import ResponseStore
from codex_oss.services.sealing import Sealed, Sealer
from codex_oss.services.settings import STATE_FOLDER, Settings
from codex_oss.services.tool_host import ToolHost
from codex_oss.services.upstream import Deadlines, UpstreamClient
from codex_oss.wire.events import Lane, TurnEvent
from codex_oss.wire.items import TurnRequest
from codex_oss.wiring.accounts import open_accounts
from codex_oss.wiring.records import open_seal

if TYPE_CHECKING:
    from codex_oss.wiring.chatgpt import ChatGptParts

PRIMARY_KEY_NAMES = (PRIMARY_KEY_ENV, "UPSTREAM_API_KEY")
"""Variables whose value is `Config.upstream_key`, wherever that was set."""

log = logging.getLogger(__name__)

NATIVE_QUIET_S = 300.0
"""`stream_idle_timeout_ms` of Codex 0.169."""
NATIVE_TOTAL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Bridge:
    """The running parts of one bridge, shared by all its requests."""

    config: Config
    project: Path
    profiles: Mapping[str, ModelProfile]
    lanes: Mapping[str, Lane]
    gate: CapacityGate
    upstream: UpstreamClient
    key_of: Callable[[str], str]
    root: ProjectRoot
    responses: ResponseStore
    redactor: Redactor
    breakers: Breakers
    sealer: Sealer
    relay: RelayClient
    missions: MissionControl
    route: Callable[[str], Route]
    """Which lane and profile answer to a model name; see `policy.routing`."""
    requests: RequestLog
    attempts: AttemptBook
    chatgpt: ChatGptParts | None = None
    """The user's own accounts; None unless the strategy is `accounts`."""

    def lane_for(self, request: TurnRequest) -> tuple[Route, Lane]:
        """The route of a request and the lane that serves it. Raises RequestError for a name nobody answers to.

        A turn to a raw name that carries a mission belongs to the mission lane too, unless it asks for a compaction.
        """
        route = self.route(request.model)
        if route.lane == "passthrough":
            raise InvalidRequest(
                "A GPT model is reached with a credential of the client's own, by HTTP; this request shows none.",
                hint="Sign in to Codex, or send your API key as bearer and the local key as x-codex-oss-key "
                "(docs/clients.md).",
                code="gpt_credential_missing",
                param="model",
            )
        if request.compacts:
            if route.lane == "mission":
                raise InvalidRequest(
                    "A mission model does not compact: each mission begins anew from its contract.",
                    hint="Ask a raw model (ocg-*) for the summary.",
                    code="unsupported_parameter",
                    param="model",
                )
            return route, self.lanes["compaction"]
        if route.lane == "oss" and carries_mission(request):
            route = replace(route, lane="mission")
        lane = self.lanes[route.lane]
        return route, aliased(lane, route.reason, route.profile.alias) if route.reason else lane

    def relays(self, model: str) -> bool:
        """Whether a turn to *model* is relayed to its own backend."""
        try:
            return self.route(model).lane == "passthrough"
        except RequestError:
            return False

    def held_keys(self) -> frozenset[bytes]:
        """Every key of this process: the local one and those of upstreams. None of them is ever relayed."""
        keys = {self.key_of(profile.key_env) for profile in self.profiles.values() if profile.key_env}
        return frozenset(key.encode() for key in (*keys, self.config.local_key) if key)

    def models(self) -> list[tuple[str, ModelProfile]]:
        """Every model name to show, with its profile: raw aliases first, then admitted missions."""
        return list(known_models(self.profiles))

    async def account_facts(self) -> dict[str, int]:
        """How the user's accounts stand, in numbers; empty where none answers, or the book cannot be read."""
        try:
            return await self.chatgpt.pool.facts() if self.chatgpt is not None else {}
        except StoreError as exc:
            log.warning("the accounts cannot be read: %s", exc.message)
            return {}

    def keys_present(self) -> dict[str, bool]:
        """For every key variable that a profile names: is it set? Never a value."""
        names = sorted({profile.key_env for profile in self.profiles.values() if profile.key_env})
        return {name: bool(self.key_of(name)) for name in names}

    def start(self) -> None:
        """Begin what a serving bridge does by itself: tokens of the user's accounts are renewed ahead of need."""
        if self.chatgpt is not None and self.config.proactive_refresh:
            self.chatgpt.accounts.proactive.start()

    async def aclose(self) -> None:
        """End the missions under way, close the connection pool, the stored responses and the project."""
        await self.missions.jobs.aclose()
        await self.upstream.aclose()
        await self.relay.aclose()
        if self.chatgpt is not None:
            await self.chatgpt.aclose()
        await self.responses.aclose()
        self.requests.close()
        self.root.close()


def build(settings: Settings, project: Path, environ: Mapping[str, str]) -> Bridge:
    """Build all services and lanes; opens nothing yet: connections come with the first requests."""
    config, profiles = settings.config, settings.profiles
    redactor = Redactor(_held_secrets(config, environ))
    key_of = _key_reader(config, environ, redactor)
    redactor.hold(*(key_of(profile.key_env) for profile in profiles.values() if profile.key_env))
    deadlines = Deadlines(
        config.upstream_first_byte_timeout_s, config.upstream_idle_timeout_s, config.upstream_total_timeout_s
    )
    upstream = UpstreamClient(key_of, deadlines, may_hold_key=lambda url: may_hold_key(url, settings.trusted_bases))
    gate = CapacityGate(config.max_upstream_concurrency)
    responses = _response_store(config, project)
    relay, sealer = RelayClient(_patient(deadlines)), Sealer(user_state_folder(environ))
    breakers = Breakers(BreakerPolicy(config.circuit_breaker_errors, config.circuit_breaker_cooldown_s))
    route, root = _router(settings), ProjectRoot(project)
    raw = _raw_lane(settings, route, upstream, gate, breakers, redactor)
    with_files = WithFiles(raw, PdfTexts().text_of)
    # A mission judges the answers of its model by itself.
    missions = _missions(settings, project, environ, root, redactor, raw, route)
    mission = MissionLane(
        missions,
        tier_of=lambda model: route(model).tier,
        stream_remarks=config.visible_trace_stream,
        cancel_on_leave=config.mission_on_disconnect == "cancel",
    )
    attempts = AttemptBook()
    chatgpt = _chatgpt(config, environ, gate, attempts, _patient(deadlines), redactor)
    gpt: Lane = chatgpt.lane if chatgpt is not None else with_files

    def summarised(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        return (gpt if route(request.model).lane == "chatgpt" else with_files)(request)

    compaction = CompactionLane(summarised, lambda text, model: sealer.seal(Sealed(text, model, int(time.time()))))
    lanes: dict[str, Lane] = {
        "oss": _clients_lane(raw, with_files, route),
        "mission": mission,
        "compaction": compaction,
    }
    if chatgpt is not None:
        lanes["chatgpt"] = chatgpt.lane
    return Bridge(
        config=config,
        project=project,
        profiles=profiles,
        lanes=lanes,
        gate=gate,
        upstream=upstream,
        key_of=key_of,
        root=root,
        responses=responses,
        redactor=redactor,
        breakers=breakers,
        sealer=sealer,
        relay=relay,
        missions=missions,
        route=route,
        requests=_request_log(config, project),
        attempts=attempts,
        chatgpt=chatgpt,
    )


def _chatgpt(
    config: Config,
    environ: Mapping[str, str],
    gate: CapacityGate,
    attempts: AttemptBook,
    deadlines: Deadlines,
    redactor: Redactor,
) -> ChatGptParts | None:
    if config.gpt_strategy != "accounts":
        return None
    from codex_oss.wiring.chatgpt import build_chatgpt  # what most bridges never need

    return build_chatgpt(
        config,
        open_accounts(environ, config.chatgpt_base_url or ""),
        gate,
        attempts,
        deadlines,
        lambda text: redactor.redact(text).text,
        read_sets(config.instruction_set, environ),
    )


def _raw_lane(
    settings: Settings,
    route: Callable[[str], Route],
    upstream: UpstreamClient,
    gate: CapacityGate,
    breakers: Breakers,
    redactor: Redactor,
) -> OssLane:
    """Raw open models, as missions ask them."""
    config = settings.config
    return OssLane(
        resolve=lambda model: route(model).profile,
        profiles=settings.profiles,
        upstream=upstream,
        gate=gate,
        retry=RetryPolicy(max_retries=config.upstream_retries),
        breakers=breakers,
        stream=config.upstream_stream,
        total_s=min(config.upstream_total_timeout_s, config.turn_deadline_s),
        redact=lambda text: redactor.redact(text).text,
    )


def _clients_lane(raw: Lane, with_files: Lane, route: Callable[[str], Route]) -> Lane:
    """Raw open models, as clients ask them."""
    checked = CheckedLane(with_files, able=lambda model: route(model).profile.quirks.structured_output)

    def oss(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        """A server that speaks Responses itself gets files and demands as they are, and answers for them."""
        return (raw if route(request.model).profile.api == "responses" else checked)(request)

    return oss


def _router(settings: Settings) -> Callable[[str], Route]:
    config, profiles = settings.config, settings.profiles

    @lru_cache(256)
    def route(model: str) -> Route:
        return choose_route(
            model,
            profiles,
            config.gpt_strategy,
            gpt_fallback=config.gpt_oss_fallback,
            default_base_url=config.upstream_base or DEFAULT_UPSTREAM_BASE,
        )

    return route


def _patient(deadlines: Deadlines) -> Deadlines:
    """For relayed turns: never less than Codex itself waits for its native backend, which may think for minutes."""
    return Deadlines(
        max(deadlines.first_byte_s, NATIVE_QUIET_S),
        max(deadlines.idle_s, NATIVE_QUIET_S),
        max(deadlines.total_s, NATIVE_TOTAL_S),
    )


def _missions(
    settings: Settings,
    project: Path,
    environ: Mapping[str, str],
    root: ProjectRoot,
    redactor: Redactor,
    oss: Lane,
    route: Callable[[str], Route],
) -> MissionControl:
    config, profiles = settings.config, settings.profiles

    def count_entries(allowed_root: str) -> int:
        try:
            return len(root.list_directory(allowed_root).entries)
        except StoreError:
            return 0

    @cache
    def seal() -> Seal:  # a key is made with the first mission, not with the bridge
        return open_seal(project, environ)

    store, lanes = MissionStore(project), MissionLanes(project, config.mission_lanes)
    tools = ToolHost(root, redactor)
    runner = MissionRunner(store, tools, oss, redactor, open_seal=seal, lanes=lanes, profiles=profiles)

    def redacted(text: str) -> str:
        return redactor.redact(text).text

    desk = AdmissionDesk(project, config, count_entries, profiles, redact=redacted)
    return MissionControl(store, desk, runner, route, lanes, DeliveryBook(store, seal, redacted=redacted))


def _response_store(config: Config, project: Path) -> ResponseStore:
    path = project / config.state_db
    bounds = Bounds(config.state_ttl_s, config.state_max_responses, config.state_max_bytes)
    return ResponseStore(path, bounds, ours=path.parent == project / STATE_FOLDER)


def _request_log(config: Config, project: Path) -> RequestLog:
    path = project / config.request_log
    return RequestLog(path, ours=path.parent == project / STATE_FOLDER, max_bytes=config.request_log_max_bytes)


def _held_secrets(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Every secret that this process begins with; the public default of the local key is none."""
    keys = {config.upstream_key, *held_in_environment(environ)}
    if config.local_key != DEFAULT_LOCAL_KEY:
        keys.add(config.local_key)
    return sorted(filter(None, keys - {DEFAULT_LOCAL_KEY}))


def _key_reader(config: Config, environ: Mapping[str, str], redactor: Redactor) -> Callable[[str], str]:
    held: set[str] = set()

    def key_of(name: str) -> str:
        key = config.upstream_key if name in PRIMARY_KEY_NAMES else environ.get(name, "").strip()
        if key not in held:  # whatever becomes a key while we run is a secret from its first use on
            held.add(key)
            redactor.hold(key)
        return key

    return key_of

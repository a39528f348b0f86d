"""The configuration as one frozen value, parsed from mappings; reading the files is for the edge (`wiring`).

Precedence, highest first: flags > environment > `.codex-oss/config.toml` > the user's config > defaults.
In a config file the keys are the field names below (`port = 4000`); in the environment the names of `ENV`.

Rules that hold here:

1. One table (`SETTINGS`) gives for each setting its field, environment names, type and bounds; the docs are made
   from it.
2. A bad value never discards the rest: `parse_config` returns the value with the good part *and* every problem,
   each naming source, key and what was expected. The edge refuses to start when there is one.
3. Keys of upstreams are read by name when they are needed and are never a field of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from codex_oss.setting_values import (
    LANE_DEFAULTS,
    LaneLimits,
    one_of,
    parse_flag,
    parse_lanes,
    parse_loopback_url,
    parse_secret,
    parse_text,
    parse_texts,
    parse_url,
    seconds,
    table,
    whole,
)

DEFAULT_LOCAL_KEY: Final = "sk-local-codex-bridge"
DEFAULT_UPSTREAM_BASE: Final = "https://opencode.ai/zen/go/v1"


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of the bridge. Times are seconds, sizes bytes."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback is refused unless `allow_remote` is set."""
    port: int = 4000
    """0 picks a free port."""
    local_key: str = DEFAULT_LOCAL_KEY
    """What clients present as bearer token. Never empty."""
    allow_remote: bool = False
    allowed_origins: tuple[str, ...] = ()
    """Web origins that may call the bridge; empty means none, so that a web page gets nothing."""
    max_body_bytes: int = 32 * 1024 * 1024
    body_idle_timeout_s: float = 30.0
    """A request body may be silent for this long while it arrives."""
    websockets: bool = True
    """Answer WebSocket connections at `/v1/responses`; otherwise they are refused and clients go on with HTTP."""
    upstream_base: str | None = None
    """Replaces the base URL of every profile that the project's models.toml does not set itself."""
    upstream_key: str = field(default="", repr=False)
    """Value for profiles whose key variable is `OPENCODE_GO_API_KEY` (or `UPSTREAM_API_KEY`)."""
    upstream_total_timeout_s: float = 900.0
    upstream_first_byte_timeout_s: float = 30.0
    upstream_idle_timeout_s: float = 30.0
    upstream_retries: int = 2
    upstream_stream: bool = True
    turn_deadline_s: float = 86_400.0
    """Longest raw turn, waiting and retries included; `upstream_total_timeout_s` bounds it too."""
    circuit_breaker_errors: int = 2
    circuit_breaker_cooldown_s: float = 300.0
    max_upstream_concurrency: int = 5
    model_map: Mapping[str, str] = field(default_factory=dict)
    """Further raw names: `ocg-…` to the upstream id."""
    fallback_map: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model_concurrency: Mapping[str, int] = field(default_factory=dict)
    gpt_strategy: str = "error"
    account_strategy: str | None = None
    """How an account is chosen when `gpt_strategy` is `accounts`; None for what the accounts say."""
    proactive_refresh: bool = True
    """Renew the tokens of accounts in use before they end, while the bridge runs."""
    account_identity: str = "codex-oss"
    """Who asks the ChatGPT backend: this program, or (only if you say so) the official client."""
    gpt_oss_fallback: str = "deepseek-v4-pro"
    """The open model behind gpt names when `gpt_strategy` is `oss`: a profile's name, alias or upstream id."""
    openai_base_url: str | None = None
    chatgpt_base_url: str | None = None
    """Loopback stand-ins for the two backends that `passthrough` may send to; for tests."""
    visible_trace: str = "summary"
    """Commentary of missions: off, summary or detailed."""
    visible_trace_stream: bool = True
    visible_trace_max_events: int = 40
    visible_trace_max_chars: int = 500
    action_protocol: Literal["json", "tools"] | None = None
    """How missions are spoken: json or tools; None leaves it to each model's profile."""
    mission_max_time_s: int = 180
    mission_reserve_s: float = 5.0
    mission_turn_estimate_s: float = 8.0
    mission_final_call_s: float = 20.0
    mission_lanes: Mapping[str, LaneLimits] = field(default_factory=lambda: LANE_DEFAULTS)
    """How many missions of a kind run at once, how many wait and for how long."""
    mission_on_disconnect: str = "continue"
    """What becomes of a mission whose client leaves: continue or cancel."""
    request_deadline_s: float = 90.0
    sandbox: str = "required"
    """Shell commands of `codex-oss run` that nothing encloses: required refuses them, optional runs them."""
    sandbox_readable: tuple[str, ...] = ()
    """Further folders with tools that an enclosed command may read and run."""
    instruction_set: tuple[str, ...] = ()
    """Names of `codex-oss instructions list` whose words are added to what a model is told."""
    snapshots: bool = False
    """Keep what was asked of the ChatGPT backend, attempt by attempt, redacted."""
    state_db: str = ".codex-oss/state/responses.sqlite3"
    """Where stored responses lie; relative to the project."""
    state_ttl_s: float = 21600.0
    state_max_responses: int = 2000
    state_max_bytes: int = 256 * 1024 * 1024
    request_log: str = ".codex-oss/state/requests.jsonl"
    """Where a line for each request is appended; relative to the project."""
    request_log_max_bytes: int = 16 * 1024 * 1024
    """A larger request log is put aside; one older file is kept."""
    run_model: str = ""
    """The model of `codex-oss run` and `chat` when none is named; empty: it must be named."""
    shutdown_drain_s: float = 4.0
    """Open streams get this long to end after SIGTERM; the process is gone within 5 s."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """A value that cannot be used. source: `environment`, a file's path or `command line`."""

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.message}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table."""

    field: str
    env: tuple[str, ...]
    """Environment names, the first one set wins."""
    parse: Callable[[Any], Any]
    """Takes a TOML value or an environment string; raises ValueError with what was expected."""
    help: str


def parse_config(
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    files: Sequence[tuple[str, Mapping[str, Any]]],
) -> tuple[Config, list[ConfigProblem]]:
    """Merge all sources into a Config.

    flags: field name to value, None meaning "not given". files: (path, parsed TOML), the strongest first.
    Returns the configuration with every good value applied, and the problems in the order met.
    """
    values: dict[str, Any] = {}
    problems: list[ConfigProblem] = []
    by_field = {setting.field: setting for setting in SETTINGS}
    for path, keys in reversed(files):
        for key, raw in keys.items():
            setting = by_field.get(key)
            if setting is None:
                problems.append(ConfigProblem(path, key, f"unknown key; known keys: {', '.join(sorted(by_field))}"))
            else:
                _take(values, problems, setting, path, key, raw)
    for setting in SETTINGS:
        for name in setting.env:
            if environ.get(name, "") != "":
                _take(values, problems, setting, "environment", name, environ[name])
                break
    for key, raw in flags.items():
        if raw is not None:
            _take(values, problems, by_field[key], "command line", f"--{key.replace('_', '-')}", raw)
    config = replace(Config(), **values)
    if not config.allow_remote and config.host not in LOOPBACK_HOSTS:
        problems.append(
            ConfigProblem(
                "configuration",
                "host",
                f"{config.host!r} is not loopback; set allow_remote = true to mean it",
            )
        )
    if config.upstream_key and config.upstream_key == config.local_key:
        problems.append(
            ConfigProblem("configuration", "local_key", "equals the upstream key; clients would hold your real key")
        )
    return config, problems


LOOPBACK_HOSTS: Final = ("127.0.0.1", "::1", "localhost")


def _take(
    values: dict[str, Any], problems: list[ConfigProblem], setting: Setting, source: str, key: str, raw: Any
) -> None:
    try:
        values[setting.field] = setting.parse(raw)
    except ValueError as exc:
        problems.append(ConfigProblem(source, key, str(exc)))


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("host", ("PROXY_HOST",), parse_text, "address to listen on"),
    Setting("port", ("PROXY_PORT",), whole(0, 65535), "port to listen on; 0 picks a free one"),
    Setting("local_key", ("PROXY_API_KEY", "LITELLM_MASTER_KEY"), parse_secret, "bearer token that clients present"),
    Setting("allow_remote", (), parse_flag, "allow an address that is not loopback"),
    Setting("allowed_origins", (), parse_texts, "web origins that may call the bridge"),
    Setting("max_body_bytes", (), whole(1024, 1 << 30), "largest request body"),
    Setting("body_idle_timeout_s", (), seconds(0.1, 3600), "longest silence inside a request body"),
    Setting("websockets", (), parse_flag, "answer WebSocket connections, too"),
    Setting("upstream_base", ("UPSTREAM_BASE",), parse_url, "base URL for profiles the project does not place itself"),
    Setting("upstream_key", ("OPENCODE_GO_API_KEY", "UPSTREAM_API_KEY"), parse_secret, "key of the default upstream"),
    Setting(
        "upstream_total_timeout_s",
        ("UPSTREAM_TIMEOUT_SECONDS",),
        seconds(1, 86400),
        "longest upstream answer",
    ),
    Setting(
        "upstream_first_byte_timeout_s",
        ("UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS",),
        seconds(0.1, 3600),
        "longest wait for the upstream's first byte",
    ),
    Setting(
        "upstream_idle_timeout_s",
        ("UPSTREAM_IDLE_TIMEOUT_SECONDS",),
        seconds(0.1, 3600),
        "longest silence inside an upstream stream",
    ),
    Setting("upstream_retries", ("UPSTREAM_RETRIES",), whole(0, 10), "retries before the first event"),
    Setting(
        "turn_deadline_s",
        ("OSS_TURN_DEADLINE_SECONDS",),
        seconds(0.1, 86400),
        "longest raw turn, waiting and retries included (never above upstream_total_timeout_s)",
    ),
    Setting(
        "circuit_breaker_errors",
        ("CIRCUIT_BREAKER_ERRORS",),
        whole(0, 1000),
        "turns in a row that a model's server must fail to be left alone; 0 is never",
    ),
    Setting(
        "circuit_breaker_cooldown_s",
        ("CIRCUIT_BREAKER_COOLDOWN",),
        seconds(0, 86400),
        "how long it is left alone",
    ),
    Setting("upstream_stream", ("UPSTREAM_STREAM",), parse_flag, "ask the upstream to stream"),
    Setting(
        "max_upstream_concurrency",
        ("MAX_GLOBAL_UPSTREAM_CONCURRENCY",),
        whole(1, 4096),
        "upstream requests under way at once",
    ),
    Setting("model_map", ("MODEL_MAP_JSON",), table(parse_text, "alias to upstream id"), "further ocg-* names"),
    Setting(
        "fallback_map",
        ("FALLBACK_MODEL_MAP_JSON",),
        table(parse_texts, "model to list of models"),
        "fallback chains",
    ),
    Setting(
        "model_concurrency",
        ("MODEL_CONCURRENCY_JSON",),
        table(whole(1, 4096), "model to number"),
        "requests under way at once per model",
    ),
    Setting(
        "gpt_strategy",
        ("GPT_MODEL_STRATEGY",),
        one_of("error", "passthrough", "oss", "accounts"),
        "what a gpt-* model gets: a refusal, its own backend, an open model, or your signed-in ChatGPT accounts",
    ),
    Setting(
        "account_strategy",
        ("CODEX_OSS_ACCOUNT_STRATEGY",),
        one_of("sticky", "hybrid", "round_robin"),
        "how one of several ChatGPT accounts is chosen",
    ),
    Setting(
        "proactive_refresh",
        ("CODEX_OSS_PROACTIVE_REFRESH",),
        parse_flag,
        "with gpt_strategy accounts: renew the tokens of accounts in use before they end",
    ),
    Setting(
        "account_identity",
        ("CODEX_OSS_ACCOUNT_IDENTITY",),
        one_of("codex-oss", "codex"),
        "who asks the ChatGPT backend: this program, or the official client",
    ),
    Setting("gpt_oss_fallback", ("GPT_MODEL_OSS_FALLBACK",), parse_text, "the open model of gpt_strategy oss"),
    Setting(
        "openai_base_url", ("CODEX_OSS_OPENAI_BASE_URL",), parse_loopback_url, "stand-in for the OpenAI API, for tests"
    ),
    Setting(
        "chatgpt_base_url",
        ("CODEX_OSS_CHATGPT_BASE_URL",),
        parse_loopback_url,
        "stand-in for the ChatGPT backend, for tests",
    ),
    Setting("visible_trace", ("OSS_VISIBLE_TRACE",), one_of("off", "summary", "detailed"), "mission commentary"),
    Setting("visible_trace_stream", ("OSS_VISIBLE_TRACE_STREAM",), parse_flag, "stream the commentary to the client"),
    Setting(
        "visible_trace_max_events",
        ("OSS_VISIBLE_TRACE_MAX_EVENTS",),
        whole(2, 1000),
        "most commentary messages",
    ),
    Setting(
        "visible_trace_max_chars",
        ("OSS_VISIBLE_TRACE_MAX_EVENT_CHARS",),
        whole(40, 10_000),
        "longest commentary",
    ),
    Setting("mission_max_time_s", ("RUNTIME_MISSION_MAX_DEADLINE_SECONDS",), whole(1, 3600), "longest mission"),
    Setting(
        "action_protocol",
        ("CODEX_OSS_ACTION_PROTOCOL",),
        one_of("json", "tools"),
        "how missions are spoken, whatever a model's profile says: one JSON object a turn, or native tool calls",
    ),
    Setting(
        "mission_reserve_s",
        ("DETERMINISTIC_PARTIAL_RESERVE_SECONDS",),
        seconds(0, 60),
        "time kept back for an honest closing",
    ),
    Setting(
        "mission_turn_estimate_s",
        ("ESTIMATED_A3_TURN_SECONDS",),
        seconds(0.1, 600),
        "expected time of one turn",
    ),
    Setting(
        "mission_final_call_s",
        ("RUNTIME_FINAL_REPORT_MODEL_TIMEOUT_SECONDS",),
        seconds(1, 600),
        "time for the forced final report",
    ),
    Setting(
        "mission_lanes",
        ("MISSION_LANES_JSON",),
        parse_lanes,
        "missions of a kind that run at once, that may wait, and for how many seconds",
    ),
    Setting(
        "mission_on_disconnect",
        (),
        one_of("continue", "cancel"),
        "what becomes of a mission whose client leaves",
    ),
    Setting("request_deadline_s", ("REQUEST_DEADLINE_SECONDS",), seconds(1, 3600), "deadline that budgets assume"),
    Setting(
        "sandbox", ("CODEX_OSS_SANDBOX",), one_of("required", "optional"), "commands of `run` that nothing encloses"
    ),
    Setting("sandbox_readable", (), parse_texts, "further folders with tools that an enclosed command may read"),
    Setting("instruction_set", ("CODEX_OSS_INSTRUCTION_SET",), parse_texts, "instruction sets that are added, by name"),
    Setting("snapshots", ("CODEX_OSS_SNAPSHOTS",), parse_flag, "keep each attempt at the ChatGPT backend, redacted"),
    Setting("state_db", ("PROXY_STATE_DB",), parse_text, "file of the stored responses, from the project's folder on"),
    Setting(
        "state_ttl_s",
        ("PROXY_STATE_TTL_SECONDS",),
        seconds(1, 31_536_000),
        "how long a stored response can be retrieved or continued",
    ),
    Setting("state_max_responses", ("PROXY_STATE_MAX_RESPONSES",), whole(1, 1_000_000), "most stored responses"),
    Setting(
        "state_max_bytes",
        ("PROXY_STATE_MAX_BYTES",),
        whole(65_536, 1 << 40),
        "most bytes of stored responses",
    ),
    Setting("request_log", ("PROXY_LOG_PATH",), parse_text, "file of the request log, from the project's folder on"),
    Setting("request_log_max_bytes", (), whole(4096, 1 << 40), "size at which the request log is put aside"),
    Setting("run_model", ("CODEX_OSS_RUN_MODEL",), parse_text, "the model of `run` and `chat` when none is named"),
    Setting(
        "shutdown_drain_s",
        ("BRIDGE_SHUTDOWN_DRAIN_SECONDS",),
        seconds(0, 3600),
        "drain time after SIGTERM (never above 4 s)",
    ),
)

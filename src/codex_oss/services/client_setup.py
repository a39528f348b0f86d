"""Which files connect Codex and OpenCode to the bridge, and what each of them should hold.

Counterparts: `services.file_edits` writes them, `services.installation` records it, `cli.install` asks for it, and
`cli.doctor` looks at the result. The texts lie in `data/install/`.

| file | scope project | scope user |
| --- | --- | --- |
| Codex provider, profile and MCP server | `$CODEX_HOME/config.toml`, `$CODEX_HOME/codex-oss.config.toml` | the same |
| Codex agents and rule | `.codex/agents/`, `.codex/rules/` | `$CODEX_HOME/agents/`, `$CODEX_HOME/rules/` |
| advice for agents | `AGENTS.md` | `$CODEX_HOME/AGENTS.md` |
| OpenCode provider and MCP server | `opencode.json` or `opencode.jsonc` | the same below `$XDG_CONFIG_HOME/opencode/` |
| git | `.gitignore` | |

Observed: Codex CLI 0.169 ignores providers in a project's `.codex/config.toml`, so both scopes write the user's. The
MCP server stands there too: Codex reads a project's own file only in a project that is trusted. One entry serves every
project, since the server looks at the folder in which it is started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal

from codex_oss.config import DEFAULT_LOCAL_KEY
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.policy.routing import known_models
from codex_oss.services import codex_config, mcp_registration, opencode_config, toml_table
from codex_oss.services.file_edits import Edit, Target
from codex_oss.services.installation import Strip
from codex_oss.services.marked_block import EditRefused, Markers, put_block, strip_block

Scope = Literal["project", "user"]

MARKDOWN: Final = Markers("<!-- codex-oss:start -->", "<!-- codex-oss:end -->")
IGNORES: Final = Markers("# codex-oss:start", "# codex-oss:end")
HANDOFF_TAGS: Final = ("<OSS_HANDOFF_JSON>", "</OSS_HANDOFF_JSON>")
"""Never part of the advice: a parent model that quotes it would open a mission by accident."""
OWN_IGNORE_LINES: Final = frozenset({".codex-oss", ".codex-oss/", "/.codex-oss", "/.codex-oss/", ".codex-oss/*"})
PREFERRED_PROFILE: Final = "kimi"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the clients look."""

    project: Path
    codex_home: Path
    opencode_home: Path
    """The user's folder of OpenCode."""

    def codex_folder(self, scope: Scope) -> Path:
        """The folder that holds `agents/` and `rules/`."""
        return self.codex_home if scope == "user" else self.project / ".codex"

    def agreements(self, scope: Scope) -> Path:
        """The AGENTS.md of this scope."""
        return (self.codex_home if scope == "user" else self.project) / "AGENTS.md"

    def opencode_file(self, scope: Scope) -> Path:
        """The present one of `opencode.json` and `opencode.jsonc`, the first when there is none."""
        folder = self.opencode_home if scope == "user" else self.project
        plain, commented = folder / "opencode.json", folder / "opencode.jsonc"
        return commented if commented.exists() and not plain.exists() else plain


def find_places(project: Path, environ: Mapping[str, str]) -> Places:
    """By `CODEX_HOME` and `XDG_CONFIG_HOME`, or their defaults below HOME."""
    home = Path(environ.get("HOME") or Path.home())
    codex = environ.get("CODEX_HOME", "")
    xdg = environ.get("XDG_CONFIG_HOME", "")
    return Places(
        project,
        Path(codex).absolute() if codex else home / ".codex",
        (Path(xdg) if xdg.startswith("/") else home / ".config") / "opencode",
    )


@dataclass(frozen=True, slots=True)
class Connection:
    """What clients have to know of the bridge."""

    base_url: str
    local_key: str
    profiles: Mapping[str, ModelProfile]
    mcp: bool = True
    """Whether the clients also get our MCP server."""


def codex_targets(places: Places, scope: Scope, connection: Connection) -> Iterator[Target]:
    """Everything that Codex reads."""
    home, folder = places.codex_home, places.codex_folder(scope)
    anchor = home if scope == "user" else places.project
    settings = codex_config.provider_settings(connection.base_url, connection.local_key)
    config = home / "config.toml"
    edits: list[Edit] = [lambda text: codex_config.put_provider(text or "", settings)]
    if connection.mcp:
        names = {profile.key_env for profile in connection.profiles.values() if profile.key_env}
        server = mcp_registration.codex_settings(connection.local_key, names)
        edits.append(lambda text: mcp_registration.put_codex(text or "", server))
    yield Target(config, home, "codex_config", tuple(edits), 0o600)
    if model := preferred_model(connection.profiles):
        profile = home / f"{codex_config.PROFILE}.config.toml"
        yield Target(profile, home, "codex_profile", (lambda text: codex_config.put_profile(text, model),), 0o600)
    for name, text in agent_files(connection.profiles):
        yield Target(folder / "agents" / name, anchor, "owned", (whole_file(text),))
    rule = folder / "rules" / "no-recursive-codex.rules"
    rules = _data("no-recursive-codex.rules").read_text(encoding="utf-8")
    yield Target(rule, anchor, "owned", (whole_file(rules),))
    advice = _data("AGENTS.md").read_text(encoding="utf-8")
    yield Target(places.agreements(scope), anchor, "agreements", (lambda t: put_block(t or "", advice, MARKDOWN),))


def opencode_targets(places: Places, scope: Scope, connection: Connection, key_file: Path) -> Iterator[Target]:
    """The one file that OpenCode reads; a key that is no public default goes to *key_file*, beside the manifest.

    The file may be committed to git, so it then only refers to the key.
    """
    path, reference = places.opencode_file(scope), ""
    if connection.local_key != DEFAULT_LOCAL_KEY:
        yield Target(key_file, key_file.parent, "key", (lambda text: connection.local_key,), 0o600)
        below = key_file.is_relative_to(path.parent)
        reference = f"{{file:{f'./{key_file.relative_to(path.parent)}' if below else key_file}}}"
    settings = opencode_config.provider_settings(
        connection.base_url, reference or connection.local_key, known_models(connection.profiles)
    )
    edits: list[Edit] = [lambda text: opencode_config.put_provider(text or "", settings)]
    if connection.mcp:
        server = mcp_registration.opencode_settings(reference)
        edits.append(lambda text: mcp_registration.put_opencode(text or "", server))
    anchor = places.opencode_home if scope == "user" else places.project
    yield Target(path, anchor, "opencode", tuple(edits))


def project_targets(places: Places) -> Iterator[Target]:
    """What keeps our state out of git."""
    yield Target(places.project / ".gitignore", places.project, "gitignore", (_ignore,))


def agent_files(profiles: Mapping[str, ModelProfile]) -> Iterator[tuple[str, str]]:
    """(file name, text) of every shipped agent whose model the bridge answers to."""
    known = {name for name, _ in known_models(profiles)}
    for entry in sorted(_data("agents").iterdir(), key=lambda entry: entry.name):
        text = entry.read_text(encoding="utf-8")
        if codex_config.read_model(text) in known:
            yield entry.name, text


def preferred_model(profiles: Mapping[str, ModelProfile]) -> str:
    """The raw name that a session on the bridge begins with; empty when there is no profile."""
    chosen = profiles.get(PREFERRED_PROFILE) or next(iter(profiles.values()), None)
    return chosen.alias if chosen else ""


def whole_file(wanted: str) -> Edit:
    """An edit of a file that is ours alone; one of the same name that we did not write is left alone."""

    def edit(text: str | None) -> str:
        if text is not None and toml_table.OURS not in text:
            raise EditRefused("It exists and was not written by codex-oss.", hint="Rename it, then run install again.")
        return wanted

    return edit


STRIPS: Final[dict[str, Strip]] = {
    "codex_config": lambda text: mcp_registration.strip_codex(codex_config.strip_provider(text)),
    "codex_profile": codex_config.strip_profile,
    "agreements": lambda text: strip_block(text, MARKDOWN),
    "gitignore": lambda text: strip_block(text, IGNORES),
    "opencode": lambda text: mcp_registration.strip_opencode(opencode_config.strip_provider(text)),
    "owned": lambda text: None,
    "key": lambda text: "",
}
"""How our part leaves a file that was edited since, by the kind of its target."""


def _ignore(text: str | None) -> str:
    held = text or ""
    ours = IGNORES.start in held
    if not ours and OWN_IGNORE_LINES & {line.strip() for line in held.splitlines()}:
        return held
    return put_block(held, _data("gitignore").read_text(encoding="utf-8"), IGNORES)


def _data(name: str) -> Traversable:
    return resources.files("codex_oss").joinpath("data", "install", name)

"""Reading the settings: configuration and model profiles, from flags, the environment and files.

Counterparts: `config` and `contracts.profiles` judge what is read here; `wiring.bridge` builds it. The files,
the strongest first (`XDG_CONFIG_HOME` defaults to `~/.config`):

    <project>/.codex-oss/config.toml     $XDG_CONFIG_HOME/codex-oss/config.toml
    <project>/.codex-oss/models.toml     $XDG_CONFIG_HOME/codex-oss/models.toml     data/models.toml of the package

Rule: whoever clones a repository clones its files. A project's own may not place what the bridge writes, nor say where
the user's keys travel.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from codex_oss.config import DEFAULT_UPSTREAM_BASE, Config, ConfigProblem, parse_config
from codex_oss.contracts.profiles import ModelProfile, find_profile, parse_profiles
from codex_oss.errors import ConfigInvalid
from codex_oss.policy.routing import GPT_NAME
from codex_oss.services.state_files import read_plain

STATE_FOLDER = PurePosixPath(".codex-oss/state")
"""The folder of the bridge's own state, in the project."""
OWN_FILES = {"state_db": "PROXY_STATE_DB", "request_log": "PROXY_LOG_PATH"}
"""Settings that name a file which the bridge writes, and the variable that may place it anywhere."""
MAX_TOML_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that files, environment and flags say."""

    config: Config
    profiles: Mapping[str, ModelProfile]
    trusted_bases: frozenset[str] = frozenset()
    """Base URLs that the user placed, not the project; only they and loopback get keys (`policy.key_trust`)."""


def read_config(project: Path, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """The configuration of *project*. Raises ConfigInvalid with every problem, one a line."""
    config, problems = _config(project, flags, environ)
    _refuse(problems)
    return config


def load_profiles(project: Path, config: Config, environ: Mapping[str, str]) -> dict[str, ModelProfile]:
    """The model profiles of *project*. Raises ConfigInvalid with every problem, one a line."""
    profiles, problems = _profiles(project, config, environ)
    _refuse(problems)
    return profiles


def read_settings(project: Path, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Configuration and profiles; raises ConfigInvalid with the problems of both."""
    config, problems = _config(project, flags, environ)
    profiles, more = _profiles(project, config, environ)
    _refuse(problems + more)
    return Settings(config, profiles, _trusted_bases(flags, environ))


def shipped_models() -> frozenset[str]:
    """Names of the models that come with the package, with their aliases: words that say nothing of the user."""
    shipped = tomllib.loads(resources.files("codex_oss").joinpath("data/models.toml").read_text(encoding="utf-8"))
    profiles, _ = parse_profiles([("codex_oss/data/models.toml", shipped)])
    return frozenset({text for one in profiles.values() for text in (one.name, one.alias, one.model)})


def user_folder(environ: Mapping[str, str]) -> Path:
    """The user's configuration folder by the XDG rule (a relative XDG_CONFIG_HOME is ignored)."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(xdg) if xdg.startswith("/") else home / ".config") / "codex-oss"


def _config(
    project: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Config, list[ConfigProblem]]:
    problems: list[ConfigProblem] = []
    paths = [user_folder(environ) / "config.toml"]
    if project is not None:
        paths.insert(0, project / ".codex-oss" / "config.toml")
    files = [(str(path), _read_toml(path, problems)) for path in paths]
    config, more = parse_config(flags=flags, environ=environ, files=files)
    for key, variable in OWN_FILES.items():
        named = str(files[0][1].get(key, "")).strip() if project is not None else ""
        if named and named == getattr(config, key) and PurePosixPath(named).parent != STATE_FOLDER:
            # Whoever clones a repository clones its configuration: it must not choose a file anywhere on the machine.
            told = f"a project's file can only name one in {STATE_FOLDER}/; use {variable} or your own config.toml"
            more.append(ConfigProblem(str(paths[0]), key, told))
    if project is not None:
        # Nor where credentials of the user's own go, what a command may do to the machine, or what is kept of requests.
        own = {
            "openai_base_url": "place a backend",
            "chatgpt_base_url": "place a backend",
            "account_identity": "say as whom you ask",
            "sandbox": "loosen the sandbox",
            "sandbox_readable": "loosen the sandbox",
            "snapshots": "have requests kept",
        }
        more += [
            ConfigProblem(
                str(paths[0]), key, f"a project's file cannot {what}; use the environment or your own config.toml"
            )
            for key, what in own.items()
            if key in files[0][1]
        ]
    return config, problems + more


def _profiles(
    project: Path | None, config: Config, environ: Mapping[str, str]
) -> tuple[dict[str, ModelProfile], list[ConfigProblem]]:
    problems: list[ConfigProblem] = []
    shipped = resources.files("codex_oss").joinpath("data/models.toml").read_text(encoding="utf-8")
    paths = [user_folder(environ) / "models.toml"]
    if project is not None:
        paths.append(project / ".codex-oss" / "models.toml")
    sources = [("codex_oss/data/models.toml", tomllib.loads(shipped))]
    sources += [(str(path), _read_toml(path, problems)) for path in paths]
    profiles, more = parse_profiles(
        sources,
        project_source="" if project is None else str(paths[-1]),
        upstream_base=config.upstream_base,
        model_map=config.model_map,
        fallback_map=config.fallback_map,
        model_concurrency={
            name: limit
            for name, limit in config.model_concurrency.items()
            if config.gpt_strategy not in ("passthrough", "accounts") or not GPT_NAME.fullmatch(name)
        },
    )
    if config.gpt_strategy == "oss" and find_profile(profiles, config.gpt_oss_fallback) is None:
        told = f"unknown model {config.gpt_oss_fallback!r}; expected a profile's name, alias or upstream id"
        more.append(ConfigProblem("configuration", "gpt_oss_fallback", told))
    return profiles, problems + more


def _trusted_bases(flags: Mapping[str, Any], environ: Mapping[str, str]) -> frozenset[str]:
    """Every base URL that follows from flags, environment, the user's files and the package alone."""
    config, _ = _config(None, flags, environ)
    profiles, _ = _profiles(None, config, environ)
    return frozenset({DEFAULT_UPSTREAM_BASE, *(profile.base_url for profile in profiles.values())})


def _read_toml(path: Path, problems: list[ConfigProblem]) -> dict[str, Any]:
    """The table of a file; empty when it does not exist or (with a problem noted) cannot be read."""
    try:
        return tomllib.loads(read_plain(path, MAX_TOML_BYTES, follow_link=True).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as exc:
        problems.append(ConfigProblem(str(path), "file", f"cannot be read: {exc.strerror}"))
    except UnicodeDecodeError as exc:
        problems.append(ConfigProblem(str(path), "file", f"is not UTF-8 (byte {exc.start})"))
    except tomllib.TOMLDecodeError as exc:
        problems.append(ConfigProblem(str(path), "TOML", str(exc)))
    return {}


def _refuse(problems: list[ConfigProblem]) -> None:
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigInvalid(f"The configuration has {count}:\n{lines}", hint="Correct it; nothing was started.")

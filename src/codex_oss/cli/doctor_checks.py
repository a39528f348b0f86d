"""The checks of `doctor` that look at this program, its configuration, the project's state, the bridge and upstreams.

Counterpart: `cli.doctor_clients`, the other half of the table. Rules that hold here:

1. A check reads and never writes; keys are looked for by name and never shown.
2. FAIL is for what cannot work as it is; what is merely absent or slower is a WARN. Each of them names its fix.
"""

from __future__ import annotations

import http.client
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from codex_oss import __version__
from codex_oss.config import Config
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError
from codex_oss.policy.key_trust import may_hold_key
from codex_oss.services.bridge_process import Bridge, Running, Stopped, Unproven, find_bridge
from codex_oss.services.client_setup import Places, find_places
from codex_oss.services.settings import load_profiles, read_config, read_settings
from codex_oss.services.source import source_hash
from codex_oss.wiring.bridge import PRIMARY_KEY_NAMES

Status = Literal["PASS", "WARN", "FAIL"]

MIN_PYTHON: Final = (3, 11)
NETWORK_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. fix: what to do; empty for PASS."""

    name: str
    status: Status
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """The four fields as `doctor --json` gives them."""
        return {"name": self.name, "status": self.status, "message": self.message, "fix": self.fix}


Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all checks look at."""

    project: Path
    environ: Mapping[str, str]
    config: Config
    """The defaults when the real one cannot be used."""
    config_problem: str
    profiles: Mapping[str, ModelProfile]
    profiles_problem: str
    bridge: Bridge
    places: Places

    @property
    def port(self) -> int:
        """Where clients should look: the running bridge's port, else the configured one."""
        return self.bridge.record.port if isinstance(self.bridge, Running) else self.config.port

    def key_present(self, name: str) -> bool:
        """Whether a key variable is set here."""
        value = self.config.upstream_key if name in PRIMARY_KEY_NAMES else self.environ.get(name, "")
        return bool(value.strip())


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table. name: of the check, or what the names of its findings begin with."""

    name: str
    look: Callable[[Scene], Findings]

    def run(self, scene: Scene) -> list[Finding]:
        """All findings; an unexpected fault is one too."""
        try:
            return [replace(found, name=found.name or self.name) for found in self.look(scene)]
        except (BridgeError, OSError, ValueError) as exc:
            return [Finding(self.name, "FAIL", f"could not be checked: {exc}", "Correct what the message names.")]


def passed(message: str, name: str = "") -> Finding:
    """All is well; an empty name becomes the check's."""
    return Finding(name, "PASS", message)


def warned(message: str, fix: str, name: str = "") -> Finding:
    """It works, but not as well as it could."""
    return Finding(name, "WARN", message, fix)


def failed(message: str, fix: str, name: str = "") -> Finding:
    """It cannot work as it is."""
    return Finding(name, "FAIL", message, fix)


def look_around(project: Path, environ: Mapping[str, str], *, offline: bool) -> Scene:
    """Gather what the checks share. offline: the bridge is not asked."""
    config, config_problem = Config(), ""
    profiles: Mapping[str, ModelProfile] = {}
    profiles_problem = ""
    try:
        config = read_config(project, {}, environ)
    except BridgeError as exc:
        config_problem = exc.message
    try:
        profiles = load_profiles(project, config, environ)
    except BridgeError as exc:
        profiles_problem = exc.message
    bridge: Bridge = Stopped() if offline else find_bridge(project)
    places = find_places(project, environ)
    return Scene(project, environ, config, config_problem, profiles, profiles_problem, bridge, places)


def check_python(scene: Scene) -> Findings:
    """The interpreter is new enough."""
    shown = f"Python {sys.version.split()[0]} at {sys.executable}"
    if sys.version_info >= MIN_PYTHON:
        yield passed(shown)
    else:
        yield failed(shown, f"Install Python {'.'.join(map(str, MIN_PYTHON))} or newer.")


def check_package(scene: Scene) -> Findings:
    """Which version speaks."""
    yield passed(f"codex-oss {__version__}")


def check_config(scene: Scene) -> Findings:
    """Every value of every source can be used."""
    if scene.config_problem:
        yield failed(scene.config_problem, "Correct each value; docs/configuration.md lists what is allowed.")
    else:
        yield passed("every setting can be used")


def check_models(scene: Scene) -> Findings:
    """Every model profile can be used, and a mission has somewhere to go."""
    admitted = [profile.name for profile in scene.profiles.values() if profile.tiers]
    if scene.profiles_problem:
        yield failed(scene.profiles_problem, "Correct models.toml; docs/configuration.md has examples.")
    elif not admitted:
        yield warned("no profile is admitted to any mission", 'Add tiers = ["A2", "A3"] to one in models.toml.')
    else:
        yield passed(f"{len(scene.profiles)} profiles, {len(admitted)} of them admitted to missions")


def check_patterns(scene: Scene) -> Findings:
    """What the project hides and protects can be read; otherwise no mission is admitted."""
    from codex_oss.services.admission import PATTERN_FILES, read_patterns

    used = []
    for name in PATTERN_FILES:
        try:
            patterns = read_patterns(scene.project, name)
        except BridgeError as exc:
            yield failed(exc.message, "Correct the file; until then every mission is refused.")
            return
        used += [f"{len(patterns)} in {name}"] if patterns else []
    yield passed(f"patterns: {', '.join(used)}" if used else "no patterns of the project's own")


def check_writable(scene: Scene) -> Findings:
    """Records can be written."""
    state = scene.project / ".codex-oss"
    folder = state if state.exists() else scene.project
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        yield failed(f"{state} is not a folder", "Move it away.")
    elif os.access(folder, os.W_OK | os.X_OK):
        yield passed(f"{folder} can be written")
    else:
        yield failed(f"{folder} cannot be written", "Give this user the right to write there.")


def check_private(scene: Scene) -> Findings:
    """No other user of the machine can read the records."""
    state = scene.project / ".codex-oss"
    if not state.is_dir():
        yield passed("there is no state yet")
    elif not _open_to_others(state):
        yield passed(f"{state} is for its owner only")
    elif open_ones := [path.name for path in sorted(state.iterdir()) if _open_to_others(path)]:
        yield warned(f"other users can read {', '.join(open_ones[:8])} in {state}", f"chmod go-rwx {state}")
    else:
        yield passed(f"everything in {state} is for its owner only")


def check_keys(scene: Scene) -> Findings:
    """For each key variable of a profile that is admitted to missions: is it set, here or in the running bridge?"""
    running = scene.bridge.health.upstream_keys if isinstance(scene.bridge, Running) else {}
    names = sorted({profile.key_env for profile in scene.profiles.values() if profile.tiers and profile.key_env})
    for name in names:
        users = [p for p in scene.profiles.values() if p.tiers and p.key_env == name]
        label = f"upstream.key.{name}"
        if scene.key_present(name):
            yield passed(f"{name} is set", label)
        elif running.get(name):
            yield passed(f"the running bridge has {name} (it is not set here)", label)
        elif all(may_hold_key(profile.base_url, ()) for profile in users):
            yield passed(f"{name} is not set; its upstreams are on this machine", label)
        else:
            more = f" and {len(users) - 6} more" if len(users) > 6 else ""
            served = ", ".join(profile.name for profile in users[:6]) + more
            fix = f"export {name}=… before `codex-oss start`, or place the profiles on a server of your own."
            yield warned(f"{name} is not set; without it these profiles get no answer: {served}", fix, label)
    if not names:
        yield passed("no admitted profile needs a key")


def check_running(scene: Scene) -> Findings:
    """A bridge of this project answers."""
    match scene.bridge:
        case Running() as running:
            yield passed(f"process {running.record.pid} on {running.base_url}")
        case Unproven(record=record, reason=reason):
            yield warned(f"process {record.pid} exists, but {reason}", "codex-oss restart")
        case Stopped():
            yield warned("no bridge is running here", "codex-oss start")


def check_source(scene: Scene) -> Findings:
    """The bridge runs the sources that are installed now."""
    if isinstance(scene.bridge, Running):
        if scene.bridge.health.source_hash == source_hash():
            yield passed("the bridge runs the installed sources")
        else:
            yield warned("the bridge runs older sources than those installed", "codex-oss restart")


def check_root(scene: Scene) -> Findings:
    """The bridge serves this project and no other."""
    if isinstance(scene.bridge, Running):
        served = Path(scene.bridge.health.project_root)
        if served.resolve() == scene.project.resolve():
            yield passed(f"it serves {served}")
        else:
            yield failed(f"it serves {served}", "codex-oss restart")


def check_upstreams(scene: Scene) -> Findings:
    """Each upstream of an admitted profile lists its models; a key goes only where it may."""
    trusted = read_settings(scene.project, {}, scene.environ).trusted_bases
    places = {(profile.base_url, profile.key_env) for profile in scene.profiles.values() if profile.tiers}
    for base_url, name in sorted(places):
        label = f"upstream.models.{urlsplit(base_url).netloc}"
        value = scene.config.upstream_key if name in PRIMARY_KEY_NAMES else scene.environ.get(name, "").strip()
        if value and not may_hold_key(base_url, trusted):
            fix = "Set UPSTREAM_BASE or your own models.toml if you trust it."
            yield warned(f"{base_url} was placed by the project, so it gets no key and was not asked", fix, label)
            continue
        yield _asked(base_url, value, label)


def _asked(base_url: str, key: str, label: str) -> Finding:
    """One GET, without redirects and without the proxies of the environment."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=NETWORK_TIMEOUT_S)
    try:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request("GET", f"{parts.path}/models", headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        return failed(f"{base_url} cannot be reached: {reason}", "Start it, or correct its base URL.", label)
    finally:
        connection.close()
    match status:
        case 200:
            return passed(f"{base_url} answers", label)
        case 401 | 403:
            return failed(f"{base_url} refuses the key ({status})", "Set the key that belongs to it.", label)
        case _:
            return warned(f"{base_url}/models answers {status}", "Check its base URL.", label)


def _open_to_others(path: Path) -> bool:
    return not path.is_symlink() and bool(stat.S_IMODE(path.lstat().st_mode) & 0o077)


CHECKS: Final[tuple[Check, ...]] = (
    Check("python.version", check_python),
    Check("package.version", check_package),
    Check("config.parses", check_config),
    Check("models.parse", check_models),
    Check("project.patterns", check_patterns),
    Check("project.writable", check_writable),
    Check("state.private", check_private),
    Check("upstream.key", check_keys),
)
BRIDGE_CHECKS: Final[tuple[Check, ...]] = (
    Check("bridge.running", check_running),
    Check("bridge.source_hash", check_source),
    Check("bridge.project_root", check_root),
)
NETWORK_CHECKS: Final[tuple[Check, ...]] = (Check("upstream.models", check_upstreams),)

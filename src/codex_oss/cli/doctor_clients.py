"""The checks of `doctor` that look at Codex, OpenCode and the programs that missions use.

Counterparts: `cli.doctor_checks` (Scene, Finding), `services.client_setup` (what install writes where).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from codex_oss.cli.doctor_checks import Check, Finding, Findings, Scene, failed, passed, warned
from codex_oss.errors import BridgeError, StoreError
from codex_oss.policy.routing import choose_route
from codex_oss.services import codex_config, opencode_config
from codex_oss.services.client_setup import HANDOFF_TAGS, MARKDOWN
from codex_oss.services.local_model import find_weights

INSTALL: Final = "codex-oss install"
PROBED_CODEX: Final = "0.169"
"""The version that docs/clients.md was observed with."""
PROBE_TIMEOUT_S: Final = 15
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
OUR_MODELS: Final = ("ocg-", "mission-", "opencode-go/")


def check_codex(scene: Scene) -> Findings:
    """The Codex CLI is there, and it is one whose habits are known."""
    program = shutil.which("codex", path=scene.environ.get("PATH"))
    if program is None:
        yield warned("the Codex CLI is not on PATH", "npm install -g @openai/codex", "codex.present")
        return
    yield passed(program, "codex.present")
    version = _version(program, scene)
    if not version:
        yield warned("it does not tell its version", f"Run {program} --version.", "codex.version")
    elif version.startswith(f"{PROBED_CODEX}."):
        yield passed(version, "codex.version")
    else:
        yield warned(f"{version}; tried out with {PROBED_CODEX}", "If something fails, try that one.", "codex.version")


def check_provider(scene: Scene) -> Findings:
    """The user's Codex configuration leads to this bridge, with the right key."""
    path = scene.places.codex_home / "config.toml"
    table = codex_config.read_provider(read_text(path))
    if table is None:
        yield warned(f"{path} has no provider for the bridge", INSTALL)
        return
    rivals = [name for name in codex_config.RIVALS if name in table]
    if rivals and (len(rivals) > 1 or "auth" in table):
        yield failed(f"{path}: {', '.join(rivals)} beside another way to the key; Codex refuses that", INSTALL)
        return
    yield from _compared(scene, table.get("base_url"), codex_config.read_local_key(table), str(path))
    if "auth" not in table:
        yield warned("without `auth` Codex asks for no list of models and warns about it", INSTALL, "config.models")
    if table.get("wire_api") != "responses":
        yield failed('wire_api is not "responses"', INSTALL, "config.wire_api")


def check_parent(scene: Scene) -> Findings:
    """Sessions on GPT models stay where they are."""
    path = scene.places.codex_home / "config.toml"
    if codex_config.read_key(read_text(path), "model_provider") == codex_config.PROVIDER:
        fix = f"Remove `model_provider` from {path}, and choose the bridge with: codex -p {codex_config.PROFILE}"
        yield warned("every Codex session goes to the bridge, which serves no GPT model", fix)
    else:
        yield passed("the bridge is not the provider of every session")


def check_agents(scene: Scene) -> Findings:
    """Agents are there, and the model of each is one that the bridge answers to."""
    files = _agent_files(scene)
    if files:
        yield passed(f"{len(files)} agent files", "agents.found")
    else:
        yield warned("no agent files", INSTALL, "agents.found")
    for path in files:
        label = f"agents.{path.stem}.model"
        try:
            model = codex_config.read_model(read_text(path))
            if model.startswith(OUR_MODELS):
                choose_route(model, scene.profiles)
                yield passed(model, label)
        except BridgeError as exc:
            yield failed(f"{path}: {exc.message}", f"Name a model that the bridge knows, or: {INSTALL}", label)


def check_agreements(scene: Scene) -> Findings:
    """AGENTS.md tells an agent how to delegate, and cannot open a mission by being quoted."""
    paths = [scene.places.agreements("project"), scene.places.agreements("user")]
    texts = {path: read_text(path) for path in paths}
    if any(MARKDOWN.start in text for text in texts.values()):
        yield passed("AGENTS.md says how to delegate", "agreements.exists")
    else:
        yield warned("no AGENTS.md says how to delegate", INSTALL, "agreements.exists")
    label = "agreements.no_embedded_mission_examples"
    tagged = [str(path) for path, text in texts.items() if any(tag in text for tag in HANDOFF_TAGS)]
    if tagged:
        fix = "Take the literal tags out; a parent that quotes them opens a mission by accident."
        yield failed(f"the handoff tags stand in {', '.join(tagged)}", fix, label)
    else:
        yield passed("no handoff tags in AGENTS.md", label)


def check_opencode(scene: Scene) -> Findings:
    """OpenCode is there."""
    program = shutil.which("opencode", path=scene.environ.get("PATH"))
    if program is None:
        yield warned("OpenCode is not on PATH", "npm install -g opencode-ai")
    else:
        yield passed(program)


def check_opencode_provider(scene: Scene) -> Findings:
    """OpenCode's configuration leads to this bridge."""
    for path in (scene.places.opencode_file("project"), scene.places.opencode_file("user")):
        text = read_text(path)
        table = opencode_config.read_provider(text) if text.strip() else None
        if table is not None:
            options = table.get("options")
            options = options if isinstance(options, dict) else {}
            yield from _compared(scene, options.get("baseURL"), _plain_key(options.get("apiKey")), str(path))
            return
    yield warned("no opencode.json has a provider for the bridge", INSTALL)


def check_search(scene: Scene) -> Findings:
    """Searches are quick."""
    yield from _program(scene, "rg", "ripgrep is not on PATH: searches are slower", "Install ripgrep.")


def check_git(scene: Scene) -> Findings:
    """The git tools of a mission can run."""
    yield from _program(scene, "git", "git is not on PATH: missions cannot look at history", "Install git.")


def check_local_model(scene: Scene) -> Findings:
    """`codex-oss demo` has its model."""
    try:
        yield passed(str(find_weights()))
    except BridgeError as exc:
        yield warned(f"{exc.message} Only `codex-oss demo` needs it.", exc.hint)


def _compared(scene: Scene, base_url: Any, key: Any, where: str) -> Iterator[Finding]:
    """Does a client's configuration lead to the bridge of this project? key: None when it cannot be told."""
    try:
        port = urlsplit(base_url).port if isinstance(base_url, str) else None
    except ValueError:
        port = None
    if port is None:
        yield failed(f"{where}: the base URL of the bridge cannot be read", INSTALL)
    elif port != scene.port:
        yield warned(f"{where} leads to port {port}, the bridge is on {scene.port}", INSTALL)
    elif key is not None and key != scene.config.local_key:
        yield failed(f"{where} holds another key than the bridge asks for", INSTALL)
    else:
        yield passed(f"{where} leads to the bridge")


def _plain_key(key: Any) -> Any:
    """The key, or None for a reference that only OpenCode resolves."""
    return None if isinstance(key, str) and key.startswith("{") else key


def _agent_files(scene: Scene) -> list[Path]:
    folders = dict.fromkeys((scene.places.codex_folder("project"), scene.places.codex_folder("user")))
    return [path for folder in folders for path in sorted((folder / "agents").glob("*.toml"))]


def _program(scene: Scene, name: str, absent: str, fix: str) -> Findings:
    found = shutil.which(name, path=scene.environ.get("PATH"))
    yield passed(found) if found else warned(absent, fix)


def _version(program: str, scene: Scene) -> str:
    """`0.169.0` of `codex-cli 0.169.0`; empty when it cannot be had."""
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's PATH names, asked for its version
            [program, "--version"],
            capture_output=True,
            text=True,
            env=dict(scene.environ),
            stdin=subprocess.DEVNULL,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    found = re.search(r"\d+\.\d+\.\d+\S*", done.stdout)
    return found.group() if found else ""


def read_text(path: Path) -> str:
    """The text of a file; empty when it does not exist. Raises StoreError when it cannot be read as text."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}.") from exc


CLIENT_CHECKS: Final[tuple[Check, ...]] = (
    Check("codex", check_codex),
    Check("config.provider_block", check_provider),
    Check("config.parent_provider_safe", check_parent),
    Check("agents", check_agents),
    Check("agreements", check_agreements),
    Check("opencode.present", check_opencode),
    Check("opencode.provider", check_opencode_provider),
    Check("search.rg", check_search),
    Check("git.present", check_git),
    Check("local_model.present", check_local_model),
)

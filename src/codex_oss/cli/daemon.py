"""The bridge as a process: `up`, `start`, `stop`, `restart`, `status`.

Counterparts: `services/bridge_process.py` (whose process is it), `services/enclosed_command.py` (`up -- CMD`) and
`codex_oss.server`, which these verbs run but never import.

Rules that hold here:

1. `up` becomes the server (`exec`): signals, the ready line and the exit status are the server's own.
2. Exit codes: 0 done; 1 not done, and for `status` "not running"; 2 asked wrongly; `up -- CMD` ends with CMD's status.
3. Heavy imports happen inside the verbs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.policy.printable import printable

if TYPE_CHECKING:
    from codex_oss.services.bridge_process import Bridge, Running

Command = TypeVar("Command", bound=Callable[..., Any])


def port_option(command: Command) -> Command:
    """`--port N`; passes an int or None (the configuration decides)."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        metavar="N",
        show_default="from the configuration, else 4000",
        help="Port to listen on; 0 picks a free one.",
    )(command)


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: codex-oss up --port 0 -- python my_script.py",
)
@project_option
@port_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD [ARG]...]")
def up(project: Path, port: int | None, command: tuple[str, ...]) -> None:
    """Run the bridge in the foreground, or around one command.

    Without CMD the first line on stdout is `listening on http://127.0.0.1:PORT/v1`; Ctrl-C or SIGTERM end it.

    With CMD the bridge lives as long as CMD. CMD finds it in CODEX_OSS_BASE_URL and OPENAI_BASE_URL, its key in
    CODEX_OSS_API_KEY, PROXY_API_KEY and OPENAI_API_KEY, and its exit status becomes ours.
    """
    from codex_oss.services.bridge_process import server_command

    argv = [*server_command(), "--project", str(project), *_port_flags(port)]
    if not command:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(argv[0], argv)  # noqa: S606 - our own interpreter and module, no shell
    from codex_oss.services.enclosed_command import run_enclosed

    sys.exit(run_enclosed(argv, command, local_key=_local_key(project, port), environ=os.environ))


@click.command(epilog="Example: codex-oss start --port 4000")
@project_option
@port_option
@json_option
def start(project: Path, port: int | None, as_json: bool) -> None:
    """Start the bridge in the background.

    Waits until it answers; otherwise shows the last lines of its log. A bridge that runs already is left running.
    """
    from codex_oss.services.bridge_process import start_bridge

    running, fresh = start_bridge(project, _port_flags(port))
    if not fresh and port not in (None, 0, running.record.port):
        _print(running, as_json, already=True)
        click.echo(f"error: The bridge runs on port {running.record.port}, not on {port}.", err=True)
        click.echo(f"hint: codex-oss restart --port {port}", err=True)
        sys.exit(1)
    _print(running, as_json, already=not fresh)


@click.command(epilog="Example: codex-oss stop")
@project_option
@json_option
def stop(project: Path, as_json: bool) -> None:
    """Stop the bridge of this project.

    Only a process that proves to be this project's bridge is ended: SIGTERM, and SIGKILL after 5 s. Nothing running
    is no error.
    """
    from codex_oss.services.bridge_process import stop_bridge

    outcome = stop_bridge(project)
    if as_json:
        _print_json(stopped=outcome.stopped, pid=outcome.pid, killed=outcome.killed, cleaned=outcome.cleaned)
        return
    if not outcome.stopped:
        click.echo("no bridge is running here" + (" (removed a stale record)" if outcome.cleaned else ""))
        return
    click.echo(f"stopped the bridge (process {outcome.pid})")
    if outcome.killed:
        click.echo("note: it did not end within 5 s of SIGTERM and was killed", err=True)


@click.command(epilog="Example: codex-oss restart")
@project_option
@port_option
@json_option
def restart(project: Path, port: int | None, as_json: bool) -> None:
    """Stop the bridge, start it again, and prove that it is the new one.

    The new process is asked for its pid and the hash of its sources. Without --port it keeps the port it had.
    """
    from codex_oss.services.bridge_process import Running, find_bridge, start_bridge, stop_bridge

    before = find_bridge(project)
    old = before if isinstance(before, Running) else None
    stop_bridge(project)
    kept = old.record.port if old is not None and port is None else port
    running, _ = start_bridge(project, _port_flags(kept))
    _check_renewed(old, running)
    _print(running, as_json, already=False, previous_pid=old.record.pid if old is not None else None)


@click.command(epilog="Example: codex-oss status --json")
@project_option
@json_option
def status(project: Path, as_json: bool) -> None:
    """Say whether the bridge runs, which one, and how it is.

    FRESH means that it runs the sources which are installed now; STALE asks for a restart. Exit status 0 when it
    runs, 1 when not.
    """
    from codex_oss.services.bridge_process import Running, find_bridge

    bridge = find_bridge(project)
    if isinstance(bridge, Running):
        _print(bridge, as_json, already=True)
        return
    state, message = _not_running(bridge)
    if as_json:
        _print_json(running=False, state=state, message=message, project_root=str(project))
    else:
        click.echo(message)
    sys.exit(1)


def describe(running: Running) -> dict[str, Any]:
    """The facts about a running bridge, as `status --json` gives them."""
    from codex_oss.services.source import source_hash

    health, installed = running.health, source_hash()
    fresh = health.source_hash == installed
    return {
        "running": True,
        "state": "running",
        "pid": health.pid,
        "port": running.record.port,
        "base_url": running.base_url,
        "uptime_s": round(health.uptime_s, 1),
        "version": health.version,
        "project_root": health.project_root,
        "source": "FRESH" if fresh else "STALE",
        "source_hash": health.source_hash,
        "upstream_keys": health.upstream_keys,
        "lanes": health.lanes,
        "gpt_model_strategy": health.gpt_model_strategy,
        "in_flight": health.in_flight,
        "capacity": health.capacity,
        "mission_lanes": health.mission_lanes,
        "circuits": health.circuits,
        "state_db": health.state_db,
        "request_log": health.request_log,
        "prompt_cache": health.prompt_cache,
        "accounts": health.accounts,
        "bridge": {"source_hash": health.source_hash, "installed_source_hash": installed, "fresh": fresh},
        "runtime": {
            "identity": {
                "pid": health.pid,
                "port": running.record.port,
                "project_root": health.project_root,
                "started_at": running.record.started_at,
                "version": health.version,
                # `find_bridge` calls it running only if pid, project and start are those of the record.
                "proven": True,
            }
        },
    }


def _print(running: Running, as_json: bool, *, already: bool, **more: Any) -> None:
    facts = describe(running)
    if as_json:
        _print_json(**facts, already_running=already, **more)
        return
    keys = ", ".join(f"{name} {'set' if there else 'NOT SET'}" for name, there in facts["upstream_keys"].items())
    click.echo(f"the bridge {'runs' if already else 'runs now'} on {facts['base_url']}")
    click.echo(f"  process  {facts['pid']}, up {facts['uptime_s']:.0f} s, version {facts['version']}")
    click.echo(f"  project  {facts['project_root']}")
    click.echo(f"  sources  {facts['source']}" + (" (codex-oss restart)" if facts["source"] == "STALE" else ""))
    click.echo(f"  lanes    {', '.join(facts['lanes'])}; gpt-* models: {facts['gpt_model_strategy']}")
    click.echo(f"  keys     {keys or 'none needed'}")
    for name, words in _load_lines(facts):
        click.echo(printable(f"  {name:8} {words}"))


def _load_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What it does now and where it keeps it. A bridge of other sources may not tell all of it."""
    gate, stored, log, cache = (facts[name] for name in ("capacity", "state_db", "request_log", "prompt_cache"))
    taken = f"; {sum(gate['under_way'].values())} of {gate['max_total']} upstream slots" if gate else ""
    lines = [("load", f"{facts['in_flight']} turns under way, {len(gate.get('waiting', ()))} waiting{taken}")]
    if known := facts["accounts"]:
        stand = [f"{count} {name.replace('_', ' ')}" for name, count in known.items() if name != "all"]
        lines.append(("accounts", f"{known['all']}: {', '.join(stand)}" if stand else "none: codex-oss login"))
    for name, lane in facts["mission_lanes"].items():
        if lane["running"] or lane["waiting"]:
            waiting = f"; waiting: {', '.join(lane['waiting'])}" if lane["waiting"] else ""
            lines.append(("missions", f"{name} {len(lane['running'])} of {lane['capacity']}{waiting}"))
    if path := stored.get("path"):
        lines.append(("state", f"{path} ({stored.get('responses', 0)} responses)" + _trouble(stored)))
    if path := log.get("path"):
        lost = f", {log['dropped']} lines lost" if log.get("dropped") else ""
        lines.append(("requests", f"{path}{lost}" + _trouble(log)))
    ratios = [f"{model} {ratio:.0%}" for model, ratio in cache.get("models", {}).items()]
    lines.append(("cache", ", ".join(ratios) if ratios else "nothing measured yet"))
    for warning in cache.get("warnings", ()):
        when = f"{warning.get('ago_s', 0):.0f} s ago"
        lines.append(("warning", f"{warning.get('cause')} on {warning.get('model')}, {when} (docs/observability.md)"))
    return lines


def _trouble(facts: dict[str, Any]) -> str:
    return f" - {facts['problem']}" if facts.get("problem") else ""


def _not_running(bridge: Bridge) -> tuple[str, str]:
    """(state, sentence) of a bridge that is not running."""
    from codex_oss.services.bridge_process import Unproven

    if isinstance(bridge, Unproven):
        state = "hangs" if bridge.hangs else "unproven"
        return state, f"not running as far as can be proven: process {bridge.record.pid} exists, but {bridge.reason}"
    return "stopped", "no bridge is running here"


def _check_renewed(old: Running | None, new: Running) -> None:
    from codex_oss.errors import StoreError
    from codex_oss.services.source import source_hash

    if old is not None and old.health.pid == new.health.pid and old.record.started_at == new.record.started_at:
        raise StoreError("The bridge that answers is still the old one.", hint="codex-oss stop, then codex-oss start")
    if new.health.source_hash != source_hash():
        raise StoreError(
            "The new bridge runs other sources than this command.",
            hint="Two installations are mixed: run both from the same environment.",
        )
    lost = [name for name, there in old.health.upstream_keys.items() if there] if old is not None else []
    for name in lost:
        if not new.health.upstream_keys.get(name):
            click.echo(f"note: the old bridge had {name}, the new one does not: set it and restart", err=True)


def _local_key(project: Path, port: int | None) -> str:
    from codex_oss.services.settings import read_config

    return read_config(project, {"port": port}, os.environ).local_key


def _port_flags(port: int | None) -> list[str]:
    return [] if port is None else ["--port", str(port)]


def _print_json(**facts: Any) -> None:
    click.echo(json.dumps(facts, ensure_ascii=False))

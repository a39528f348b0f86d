"""`codex-oss install` and `codex-oss uninstall`: connect the clients, and take that back.

Counterparts: `services.client_setup` (what belongs where), `services.installation` (diff, backup, manifest, restore).

Rules that hold here:

1. What will change is shown as a diff before it changes; `--dry-run` stops there.
2. A file that cannot be edited safely is named with what to add by hand; the others are done, and the exit status is 1.
3. The user's model and provider are never chosen for him: a session on the bridge is asked for with `-p codex-oss`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from codex_oss.cli.options import json_option, project_option

if TYPE_CHECKING:
    from codex_oss.services.client_setup import Connection, Places, Scope
    from codex_oss.services.file_edits import Plan, Target
    from codex_oss.services.installation import Installation

KEY_FILE: Final = "local_key"
ENDINGS: Final = {
    "restored": "restored",
    "removed": "removed (it was ours)",
    "stripped": "our part taken out",
    "kept": "LEFT AS IT IS",
    "absent": "nothing to do",
}

scope_option = click.option(
    "--scope",
    type=click.Choice(["project", "user"]),
    default="project",
    show_default=True,
    help="Agents, rules, advice and OpenCode's settings for this project, or for all of the user's.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


@click.command(epilog="Example: codex-oss install --dry-run")
@project_option
@scope_option
@click.option("--codex/--no-codex", default=True, show_default=True, help="Connect the Codex CLI.")
@click.option("--opencode/--no-opencode", default=True, show_default=True, help="Connect OpenCode.")
@click.option(
    "--mcp/--no-mcp", default=True, show_default=True, help="Offer missions to both as tools (an MCP server)."
)
@dry_run_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    show_default="of the running bridge, else from the configuration",
    help="Where the clients find the bridge.",
)
@json_option
def install(
    project: Path,
    scope: Scope,
    codex: bool,
    opencode: bool,
    mcp: bool,
    dry_run: bool,
    port: int | None,
    as_json: bool,
) -> None:
    """Connect Codex and OpenCode to the bridge.

    Adds a provider, an MCP server, agents, a rule and a paragraph in AGENTS.md; comments and everything of yours stay.
    Codex reads providers from its own home only, so provider and server go to $CODEX_HOME/config.toml in either scope;
    your model and model_provider are not touched. An MCP server `codex-oss` of your own is reported and left alone.
    Every touched file is backed up; `codex-oss uninstall` gives it back.
    """
    from codex_oss.services.client_setup import find_places
    from codex_oss.services.file_edits import plan_changes, render_diff

    places, connection = find_places(project, os.environ), _connection(project, port, mcp=mcp)
    shared, own = _installations(project, scope)
    plan = plan_changes(_targets(places, scope, connection, own or shared, codex=codex, opencode=opencode))
    diff = render_diff(plan, _secrets(connection))
    if not as_json and diff:
        click.echo(diff + "\n")
    if not dry_run:
        inside, outside = plan.split(project if own else None)
        if own:
            own.apply(inside)
        shared.apply(outside)
    _tell(plan, connection, diff, dry_run=dry_run, as_json=as_json)
    sys.exit(1 if plan.refusals else 0)


@click.command(epilog="Example: codex-oss uninstall --dry-run")
@project_option
@scope_option
@dry_run_option
@json_option
def uninstall(project: Path, scope: Scope, dry_run: bool, as_json: bool) -> None:
    """Take out what install wrote.

    A file that was not edited since gets its old bytes back, or goes when install made it. A file that was edited
    loses only our part. Exit status 1 when something had to be left.
    """
    from codex_oss.services.client_setup import STRIPS

    installations = [one for one in reversed(_installations(project, scope)) if one]
    outcomes = [outcome for one in installations for outcome in one.restore(STRIPS, dry_run=dry_run)]
    left = [outcome for outcome in outcomes if not outcome.settled]
    if as_json:
        files = [{"path": str(one.path), "ending": one.ending, "note": one.note} for one in outcomes]
        click.echo(json.dumps({"ok": not left, "dry_run": dry_run, "files": files}, ensure_ascii=False))
    else:
        for one in outcomes:
            note = f": {one.note}" if one.note else ""
            click.echo(f"{'would be: ' if dry_run else ''}{ENDINGS[one.ending]}  {one.path}{note}")
        if not outcomes:
            click.echo("nothing to do: nothing is installed here")
    sys.exit(1 if left else 0)


def _connection(project: Path, port: int | None, *, mcp: bool) -> Connection:
    from codex_oss.errors import RequestError
    from codex_oss.services.bridge_process import Running, find_bridge
    from codex_oss.services.client_setup import Connection
    from codex_oss.services.settings import read_settings

    settings = read_settings(project, {}, os.environ)
    if port is None:
        bridge = find_bridge(project)
        port = bridge.record.port if isinstance(bridge, Running) else settings.config.port
    if port == 0:
        raise RequestError("The configuration says port 0, which clients cannot find.", hint="Add --port N.")
    return Connection(f"http://127.0.0.1:{port}/v1", settings.config.local_key, settings.profiles, mcp)


def _installations(project: Path, scope: Scope) -> tuple[Installation, Installation | None]:
    """(for files in the user's folders, for files in the project); the latter is None in user scope.

    Each project has its own record of what it wrote to the user's folders, by the digest of its path.
    """
    from hashlib import sha256

    from codex_oss.services.installation import Installation
    from codex_oss.services.settings import user_folder

    name = "user" if scope == "user" else sha256(os.fsencode(project)).hexdigest()[:16]
    folder = user_folder(os.environ) / "install" / name
    shared = Installation(folder, folder, confined=False)
    return shared, None if scope == "user" else Installation(project / ".codex-oss" / "install", project)


def _targets(
    places: Places, scope: Scope, connection: Connection, installation: Installation, *, codex: bool, opencode: bool
) -> list[Target]:
    from codex_oss.services import client_setup

    targets = list(client_setup.codex_targets(places, scope, connection)) if codex else []
    if opencode:
        targets += client_setup.opencode_targets(places, scope, connection, installation.folder / KEY_FILE)
    if scope == "project" and targets:
        targets += client_setup.project_targets(places)
    return targets


def _secrets(connection: Connection) -> list[str]:
    """What the diff must not show; the public default key is no secret."""
    from codex_oss.config import DEFAULT_LOCAL_KEY

    return [connection.local_key] if connection.local_key != DEFAULT_LOCAL_KEY else []


def _tell(plan: Plan, connection: Connection, diff: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {
            "ok": not plan.refusals,
            "dry_run": dry_run,
            "base_url": connection.base_url,
            "changed": [str(change.target.path) for change in plan.changes],
            "refused": [{"path": str(p), "message": e.message, "hint": e.hint} for p, e in plan.refusals],
            "diff": diff,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    for change in plan.changes:
        click.echo(f"{'would write' if dry_run else 'wrote'}  {change.target.path}")
    for path, refused in plan.refusals:
        click.echo(f"left as it is: {path}: {refused.message}\nhint: {refused.hint}", err=True)
    if not plan.changes and not plan.refusals:
        click.echo("nothing to do: everything is in place")
    elif not dry_run:
        click.echo(f"\nThe clients look for the bridge at {connection.base_url}; start it with: codex-oss start")
        if connection.mcp:
            click.echo("Then ask as always, with the model you have: Codex and OpenCode now offer the tool `delegate`.")
        click.echo("A session on open models: codex -p codex-oss, opencode -m codex-oss/NAME")
        click.echo("(trust the project when Codex asks; `opencode models codex-oss` lists the names)")

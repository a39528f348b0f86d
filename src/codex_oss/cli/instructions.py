"""`codex-oss instructions`: the optional instruction sets, shown and checked. docs/instructions.md says what they do.

Counterpart: `services.instruction_sets`. Nothing here switches one on: the setting `instruction_set` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

import click

from codex_oss.cli.options import json_option
from codex_oss.policy.printable import printable
from codex_oss.services.instruction_sets import all_sets, manifest, read_set, shipped_problem


@click.group(epilog="Example: codex-oss instructions list")
def instructions() -> None:
    """Show and check optional instruction sets: personalities and prompts, off by default."""


@instructions.command("list", epilog="Example: codex-oss instructions list --json")
@json_option
def list_sets(as_json: bool) -> None:
    """List every set that `instruction_set` could name."""
    sets = all_sets(os.environ)
    if as_json:
        rows = [{"name": one.name, "kind": one.kind, "about": one.about, "source": one.source} for one in sets]
        click.echo(json.dumps({"sets": rows}, ensure_ascii=False))
        return
    for one in sets:
        click.echo(printable(f"{one.name:14} {one.kind:12} {one.about or one.source}"))


@instructions.command(epilog="Example: codex-oss instructions show pragmatic")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print the text of a set, as it is added to a model's instructions."""
    one = read_set(name, os.environ)
    if as_json:
        told = {"name": one.name, "kind": one.kind, "source": one.source, "text": one.text}
        click.echo(json.dumps({**told, "sha256": hashlib.sha256(one.text.encode()).hexdigest()}, ensure_ascii=False))
        return
    click.echo(printable(one.text.rstrip()))


@instructions.command(epilog="Example: codex-oss instructions verify")
@json_option
def verify(as_json: bool) -> None:
    """Compare the shipped texts with their hashes; exit status 1 when one differs."""
    problems = {name: shipped_problem(name) for name in manifest()}
    if as_json:
        rows = [{"name": name, "ok": not problem, "problem": problem} for name, problem in problems.items()]
        click.echo(json.dumps({"ok": not any(problems.values()), "sets": rows}))
    else:
        for name, problem in problems.items():
            click.echo(f"{name:14} {problem or 'as shipped'}")
    sys.exit(1 if any(problems.values()) else 0)

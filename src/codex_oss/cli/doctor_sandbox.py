"""`codex-oss doctor --sandbox`: which levels of the sandbox work here, and whether they keep what they promise.

Counterparts: `services.sandbox_proofs` attacks, `services.sandbox` chooses the level. docs/sandbox.md explains both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click

from codex_oss.services.sandbox import LADDER, SandboxLevel, level_problem, probe_sandbox
from codex_oss.services.sandbox_proofs import Proof, prove

MARKS: Final = {True: ("kept", "green"), False: ("BROKEN", "red"), None: ("not tried", "yellow")}
FIX: Final = "Install bubblewrap (apt-get install bubblewrap), or use a kernel with Landlock (Linux 5.13 or newer)."


@dataclass(frozen=True, slots=True)
class _Level:
    name: SandboxLevel
    problem: str
    proofs: list[Proof]

    @property
    def holds(self) -> bool:
        """Whether the level works and every proof of it was tried and held."""
        return not self.problem and all(proof.held for proof in self.proofs)


def check_sandbox(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Attack every level and tell; 0 when the one that commands get holds, else 1."""
    default = probe_sandbox()
    levels = [_looked_at(name, environ) for name in LADDER]
    healthy = any(level.name == default and level.holds for level in levels)
    if as_json:
        told = {
            "default": default,
            "healthy": healthy,
            "levels": [
                {
                    "level": level.name,
                    "works": not level.problem,
                    "problem": level.problem,
                    "proofs": [proof.as_json() for proof in level.proofs],
                }
                for level in levels
            ],
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        _show(default, levels)
    return 0 if healthy else 1


def _looked_at(name: SandboxLevel, environ: Mapping[str, str]) -> _Level:
    problem = level_problem(name)
    return _Level(name, problem, [] if problem else prove(name, environ))


def _show(default: SandboxLevel, levels: list[_Level]) -> None:
    for level in levels:
        chosen = "  (commands of `codex-oss run` get this one)" if level.name == default else ""
        click.echo(f"{level.name}{chosen}")
        if level.problem:
            click.echo(f"  does not work here: {level.problem}")
        for proof in level.proofs:
            word, colour = MARKS[proof.held]
            click.echo(f"  {click.style(f'{word:9}', fg=colour)}  {proof.tries}")
            if proof.held is None:
                click.echo(f"  {'':9}  {proof.message}")
    if default == "none":
        click.echo(f"No level works here: shell commands are refused.\nfix: {FIX}")

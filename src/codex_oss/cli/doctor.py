"""`codex-oss doctor`: every check of the set-up, each with a fix.

Counterparts: `cli.doctor_checks` (this program, the project, the bridge), `cli.doctor_clients` (Codex, OpenCode,
programs), `cli.doctor_mcp` (the MCP server, as they start it), `cli.account_checks` (where there are accounts) and
`cli.doctor_sandbox` (a question of its own). A check never raises: what it meets unexpectedly is its own FAIL, and
the others go on.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from codex_oss.cli.options import json_option, project_option

if TYPE_CHECKING:
    from codex_oss.cli.doctor_checks import Finding

COLOURS: Final = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}


@click.command(epilog="Example: codex-oss doctor --json")
@project_option
@click.option("--offline", is_flag=True, help="Ask nobody, not even the bridge on this machine.")
@click.option("--network", is_flag=True, help="Also ask each upstream for its models, with your key.")
@click.option("--sandbox", is_flag=True, help="Instead, attack the sandbox of shell commands and say what it kept.")
@json_option
def doctor(project: Path, offline: bool, network: bool, sandbox: bool, as_json: bool) -> None:
    """Check the set-up and name the fix for each fault.

    Without --network nothing leaves this machine. Exit status 0 when no check fails (warnings may stand), else 1.
    """
    from codex_oss.errors import RequestError

    if sandbox:
        from codex_oss.cli.doctor_sandbox import check_sandbox

        if offline or network:
            raise RequestError("--sandbox is asked alone.", hint="Leave --offline and --network out.")
        sys.exit(check_sandbox(os.environ, as_json=as_json))
    if offline and network:
        raise RequestError("--offline and --network exclude each other.", hint="Leave one of them out.")
    findings = run_checks(project, offline=offline, network=network)
    counts = Counter(finding.status for finding in findings)
    if as_json:
        told = {
            "healthy": not counts["FAIL"],
            "project_root": str(project),
            "passed": counts["PASS"],
            "warnings": counts["WARN"],
            "failed": counts["FAIL"],
            "checks": [finding.as_json() for finding in findings],
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show_findings(findings)
        click.echo(f"\n{counts['PASS']} passed, {counts['WARN']} warnings, {counts['FAIL']} failed")
    sys.exit(1 if counts["FAIL"] else 0)


def run_checks(project: Path, *, offline: bool, network: bool) -> list[Finding]:
    """Every finding, in the order of the tables."""
    from codex_oss.cli.account_checks import ACCOUNT_CHECKS, ACCOUNT_NETWORK_CHECKS, look_at
    from codex_oss.cli.doctor_checks import BRIDGE_CHECKS, CHECKS, NETWORK_CHECKS, look_around
    from codex_oss.cli.doctor_clients import CLIENT_CHECKS
    from codex_oss.cli.doctor_mcp import MCP_CHECKS

    scene = look_around(project, os.environ, offline=offline)
    tables = [*CHECKS, *(() if offline else BRIDGE_CHECKS), *CLIENT_CHECKS, *MCP_CHECKS]
    tables += NETWORK_CHECKS if network else ()
    if look_at(scene) is not None or scene.config.gpt_strategy == "accounts":
        tables += [*ACCOUNT_CHECKS, *(ACCOUNT_NETWORK_CHECKS if network else ())]
    return [finding for check in tables for finding in check.run(scene)]


def show_findings(findings: list[Finding]) -> None:
    """One line for each finding, with its fix below."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        lines = finding.message.splitlines() or [""]
        status = click.style(finding.status, fg=COLOURS[finding.status])
        click.echo(f"{status}  {finding.name:{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"      {'':{width}}  {line}")
        if finding.fix and finding.status != "PASS":
            click.echo(f"      {'':{width}}  fix: {finding.fix}")

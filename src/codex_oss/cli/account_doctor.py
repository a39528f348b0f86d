"""`codex-oss accounts doctor`: every check of the accounts, each with its fix.

Counterparts: `cli.account_checks` has the checks; `codex-oss doctor` runs the same ones where there are accounts.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click

from codex_oss.cli.options import json_option


@click.command("doctor", epilog="Example: codex-oss accounts doctor --network")
@click.option("--network", is_flag=True, help="Also ask whether the sign-in service can be reached.")
@json_option
def account_doctor(network: bool, as_json: bool) -> None:
    """Check the accounts and name the fix for each fault.

    Nothing is changed, and without --network nothing leaves this machine. Exit status 0 when no check fails, else 1.
    """
    import os

    from codex_oss.cli.account_checks import ACCOUNT_CHECKS, ACCOUNT_NETWORK_CHECKS, look_at
    from codex_oss.cli.account_table import NONE_YET
    from codex_oss.cli.doctor import show_findings
    from codex_oss.cli.doctor_checks import look_around
    from codex_oss.policy.printable import printable_json

    scene = look_around(Path.cwd(), os.environ, offline=True)
    checks = [*ACCOUNT_CHECKS, *(ACCOUNT_NETWORK_CHECKS if network else ())]
    findings = [finding for check in checks for finding in check.run(scene)]
    counts = Counter(finding.status for finding in findings)
    if as_json:
        told = {"healthy": not counts["FAIL"], "checks": [finding.as_json() for finding in findings]}
        click.echo(printable_json(json.dumps(told, ensure_ascii=False)))
    else:
        show_findings(findings)
        if look_at(scene) is None:
            click.echo(NONE_YET)
    sys.exit(1 if counts["FAIL"] else 0)

"""`codex-oss report`: what a maintainer needs to know, in a form that can be pasted in public.

Counterpart: `services.report`. docs/diagnostics.md says what is in it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from codex_oss.cli.options import json_option, project_option
from codex_oss.policy.printable import printable, printable_json


@click.command(epilog="Example: codex-oss report --out report.json")
@project_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of to stdout.")
@json_option
def report(project: Path, out: Path | None, as_json: bool) -> None:
    """Print a report as JSON that names nobody, for pasting in public.

    It holds versions, settings, the states of accounts and the last failures. Whatever is yours appears under names
    made for this one report; there is no token, no e-mail address, no path, no prompt and no answer in it. With --json
    it stands in one line.
    """
    from codex_oss.services.report import make_report
    from codex_oss.services.state_files import write_atomic

    told = make_report(project, os.environ)
    text = printable_json(json.dumps(told, indent=None if as_json else 2, ensure_ascii=False))
    if out is None:
        click.echo(text)
        return
    write_atomic(out, text.encode() + b"\n", mode=0o600)
    click.echo(printable(f"{out}: nothing in it names you; read it once before you paste it."), err=True)

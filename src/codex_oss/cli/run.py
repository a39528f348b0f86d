"""`codex-oss run`: one prompt to any model the bridge knows, with tools; `cli.run_turn` does it.

Rules that hold here:

1. stdout holds what the assistant says and nothing else, flushed as it comes; with `--json` one event a line.
   Tools, diffs, questions, notices and errors are on stderr.
2. Exit codes: 0 the turn came to its end, 1 it did not, 2 asked wrongly.
3. `--help` imports click and nothing else of weight.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from codex_oss.cli.options import project_option
from codex_oss.errors import InvalidRequest

MAX_PROMPT_BYTES = 4 * 1024 * 1024


@click.command("run", epilog='Example: codex-oss run -m ocg-kimi-k2.6 "Why does the retry test fail?"')
@click.argument("prompt", metavar="PROMPT|-")
@click.option("-m", "--model", default="", metavar="MODEL", help="Model name. Default: the session's, else run_model.")
@click.option("--session", "session_id", default="", metavar="ID", help="Go on with this session, or begin it.")
@click.option("--yes", "-y", is_flag=True, help="Approve edits and commands without asking.")
@project_option
@click.option(
    "--max-steps", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N", help="Most questions."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 86_400),
    default=1800.0,
    show_default=True,
    metavar="S",
    help="Longest turn in seconds, without the time that you take to answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one JSON line.")
def run(
    prompt: str,
    model: str,
    session_id: str,
    yes: bool,
    project: Path,
    max_steps: int,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Put a prompt to a model that can read, search, edit and run commands in the project.

    PROMPT - reads standard input. What the model says goes to stdout; tools, diffs and questions go to stderr. Edits
    and commands ask first; where nobody can be asked they are refused, unless --yes is given. Commands run in a
    sandbox. No bridge needs to run. The session's id is printed at the end; --session goes on with it.
    """
    text = _prompt(prompt)
    from codex_oss.cli.run_turn import Errand, run_turn

    errand = Errand(
        project, text, model, session_id, yes, max_steps, timeout_s, as_json, asked_from_stdin=prompt != "-"
    )
    sys.exit(run_turn(errand))


def _prompt(given: str) -> str:
    """The prompt itself, or what stdin holds. Raises InvalidRequest when there is none."""
    text = given
    if given == "-":
        data = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1) if sys.stdin is not None else b""
        if len(data) > MAX_PROMPT_BYTES:
            raise InvalidRequest(f"The prompt is larger than {MAX_PROMPT_BYTES} bytes.", code="prompt_invalid")
        text = data.decode("utf-8", "replace")
    if not text.strip():
        raise InvalidRequest("The prompt is empty.", code="prompt_invalid")
    return text.encode("utf-8", "replace").decode()

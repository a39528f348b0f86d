"""`codex-oss demo`: one mission, really delegated to an open model on this machine, shown link by link.

    project ─► model ─► bridge ─► mission ─► answers ─► report ─► audit ─► artifacts ( ─► codex, once more )

Counterpart: `cli.demo_links`, where each link is done. The exit status is 0 only if the whole chain happened; the first
link that did not is named and ends the demo with status 1.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import click

import codex_oss
from codex_oss.cli import demo_links as links
from codex_oss.cli.options import FOLDER, json_option
from codex_oss.errors import BridgeError
from codex_oss.services.codex_exec import CodexEvent, CodexTurn, run_codex
from codex_oss.services.local_model import LocalModel, run_local_model

HONEST: Final = (
    "A model of 135 million parameters shows that the whole path works - it is really asked, the runtime reads and "
    "searches, each step is logged, each claim is held against what was shown - but not good judgement: expect poor "
    "wording and wrong or empty findings, and trust the status and the evidence, never the prose."
)


@click.command(epilog="Example: codex-oss demo --keep ./my-demo")
@click.option(
    "--project",
    type=FOLDER,
    metavar="DIR",
    help="Put the sample project below DIR/.codex-oss/demo instead of the user's state folder.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    metavar="DIR",
    help="Put the sample project into exactly this new folder.",
)
@json_option
def demo(project: Path | None, keep: Path | None, as_json: bool) -> None:
    """Run one real mission with the embedded open model.

    A small sample project, the model and a bridge of their own; the mission goes over HTTP as from any client. When
    the Codex CLI is found, the same mission is run once more through it.

    Exit status: 0 the whole chain happened, 1 a link broke and is named.
    """
    signal.signal(signal.SIGTERM, _leave)
    chain = Chain(lambda text: click.echo(text, err=as_json))
    folder = choose_folder(project, keep)
    broken = ""
    try:
        run_chain(chain, folder, find_codex())
    except LinkBroken as exc:
        broken = str(exc)
        chain.say(f"\n{broken}")
        if exc.hint:
            chain.say(f"hint: {exc.hint}")
    if as_json:
        click.echo(json.dumps({"ok": not broken, "folder": str(folder), "broken": broken, "links": chain.done}))
    sys.exit(1 if broken else 0)


class LinkBroken(Exception):
    """A link of the chain did not happen."""

    def __init__(self, number: int, name: str, reason: str, hint: str) -> None:
        super().__init__(f"link {number} broken: {name}: {reason}")
        self.hint = hint


@dataclass(slots=True)
class Chain:
    """The numbered links, as far as they happened."""

    say: Callable[[str], None]
    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def link(self, name: str) -> Iterator[Callable[..., None]]:
        """One link; the block calls what it gets with a sentence (and facts for `--json`) when the link is done."""
        number = len(self.done) + 1

        def close(sentence: str, **facts: Any) -> None:
            self.done.append({"number": number, "name": name, "sentence": sentence, **facts})
            self.say(f"{number:>2}  {name:<10} {sentence}")

        try:
            yield close
        except BridgeError as exc:
            raise LinkBroken(number, name, exc.message, exc.hint) from exc
        except OSError as exc:
            raise LinkBroken(number, name, str(exc), "") from exc

    def speak(self, spoken: links.Spoken) -> None:
        """Show a commentary message that has just arrived."""
        self.say(f"      {spoken.at_s:5.1f} s  {links.one_line(spoken.text)}")


def choose_folder(project: Path | None, keep: Path | None) -> Path:
    """Where the demo's project goes: a fresh folder named by the time, unless `--keep` names one."""
    if keep is not None:
        return keep
    parent = project / ".codex-oss" / "demo" if project else state_folder() / "codex-oss" / "demo"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    numbered = (parent / (stamp if number == 1 else f"{stamp}-{number}") for number in range(1, 1000))
    return next(folder for folder in numbered if not folder.exists())


def state_folder() -> Path:
    """`$XDG_STATE_HOME`, its default, or a temporary folder when there is no usable home."""
    if (named := os.environ.get("XDG_STATE_HOME", "")) and Path(named).is_absolute():
        return Path(named)
    home = Path(os.environ.get("HOME") or "/nonexistent")
    if home.is_absolute() and home.is_dir() and os.access(home, os.W_OK):
        return home / ".local" / "state"
    return Path(tempfile.mkdtemp(prefix="codex-oss-state-"))


def find_codex() -> str | None:
    """The Codex CLI on PATH, else the one that bin/test keeps in this clone; None without either."""
    ours = Path(codex_oss.__file__).resolve().parents[2] / ".cache" / "clients" / "node_modules" / ".bin"
    return shutil.which("codex") or shutil.which("codex", path=str(ours))


def run_chain(chain: Chain, folder: Path, codex: str | None) -> None:
    """All links in order. Raises LinkBroken; whatever was started is ended on the way out."""
    chain.say("One mission, really delegated to an open model on this machine.\n")
    with ExitStack() as stack:
        with chain.link("project") as done:
            committed = links.copy_sample_project(folder)
            done(f"{folder} ({'one git commit' if committed else 'no git on this machine'})")
        with chain.link("model") as done:
            started = time.monotonic()
            model = stack.enter_context(run_local_model())
            done(f"SmolLM2-135M ready after {time.monotonic() - started:.1f} s at {model.base_url}")
        with chain.link("bridge") as done:
            key = f"sk-demo-{secrets.token_hex(16)}"
            base_url = stack.enter_context(links.run_bridge(folder, model, key))
            done(base_url)
        delegated = show_mission(chain, base_url, key, model)
        show_proof(chain, folder, delegated)
        if codex is None:
            chain.say("    codex      not found on PATH, so the run through the Codex CLI is left out")
        else:
            show_codex(chain, folder, base_url, key, codex)
    chain.say(f"\n{HONEST}")


def show_mission(chain: Chain, base_url: str, key: str, model: LocalModel) -> links.Delegated:
    """The mission over HTTP, its commentary as it comes, the model's part, and the report."""
    with chain.link("mission") as done:
        chain.say(f"    asking {links.MODEL}: {links.QUESTION}")
        delegated = links.delegate(base_url, key, links.write_handoff("demo-http"), chain.speak)
        if not delegated.commentary:
            raise BridgeError("Nothing was shown before the final report.")
        lead = delegated.final.at_s - delegated.commentary[0].at_s
        done(
            f"closed after {delegated.final.at_s:.1f} s; the first of {len(delegated.commentary)} messages came "
            f"{lead:.1f} s before the report",
            seconds=round(delegated.final.at_s, 3),
            commentary=len(delegated.commentary),
        )
    with chain.link("answers") as done:
        tokens = links.count_generated_tokens(model)
        if tokens < 1:
            raise BridgeError("The model never answered: by its own count it produced no token.")
        done(f"the model itself counts {tokens} tokens that it wrote", tokens=tokens)
    with chain.link("report") as done:
        status, codes = delegated.report["status"], delegated.report.get("reason_codes") or []
        done(f"{status}{' (' + ', '.join(map(str, codes)) + ')' if codes else ''}", report=delegated.report)
        for line in links.human_part(delegated.final.text).splitlines():
            chain.say(f"      | {links.one_line(line, 400)}")
    return delegated


def show_proof(chain: Chain, folder: Path, delegated: links.Delegated) -> None:
    """The audit's verdict and the files."""
    with chain.link("audit") as done:
        count = links.audit(folder, delegated.mission_id)
        done(f"ok, {count} checks: the log, its projections and the claims agree", checks=count)
    with chain.link("artifacts") as done:
        artifacts, log = links.find_artifacts(folder, delegated)
        done(f"{artifacts}\n                {log}", artifacts=str(artifacts), event_log=str(log))


def show_codex(chain: Chain, folder: Path, base_url: str, key: str, codex: str) -> None:
    """The same mission through the Codex CLI, with a CODEX_HOME of its own."""
    with chain.link("codex") as done, tempfile.TemporaryDirectory(prefix="codex-oss-demo-") as scratch:
        chain.say(f"    the same mission through {codex}")
        handoff = links.write_handoff("demo-codex")
        turn = CodexTurn(base_url, key, links.MODEL, handoff, folder, Path(scratch), timeout_s=links.MISSION_TIMEOUT_S)

        def show(event: CodexEvent) -> None:
            if event.message is not None and "```json" not in event.message:
                chain.speak(links.Spoken(event.at_s, event.message))

        run = run_codex(codex, turn, show)
        if run.failure:
            raise BridgeError(f"Codex did not finish the turn: {links.one_line(run.failure)}")
        if len(run.messages) < 2:
            raise BridgeError("Codex showed nothing before the final report.")
        *before, last = run.messages
        report = links.find_report(last.message or "")
        links.audit(folder, report["mission_id"])
        done(
            f"{report['status']}; Codex showed {len(before)} messages, the first {last.at_s - before[0].at_s:.1f} s "
            "before the report; audit ok",
            commentary=len(before),
            report=report,
        )


def _leave(*_: object) -> NoReturn:
    """SIGTERM unwinds the stack, so that the children end too."""
    sys.exit(143)

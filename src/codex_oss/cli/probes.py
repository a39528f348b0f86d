"""`codex-oss desktop-pre-final-text-probe` and the two app-server probes: what a client shows before a turn ends.

Counterparts: `services.probe_provider` says the four texts, `services.app_server_probe` judges a turn of the
app-server. What a person saw at a desktop client only that person can say: `record` keeps it as exactly that.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from codex_oss.cli.options import FOLDER, Command, json_option, project_option
from codex_oss.policy.printable import printable, printable_json

if TYPE_CHECKING:
    from codex_oss.services.probe_provider import Shape

DEFAULT_PORT: Final = 43211
MAX_RECORDS: Final = 200
MAX_RECORD_BYTES: Final = 1024 * 1024
STATUSES: Final = ("pass", "fail", "flaky", "setup_failed", "unknown")


def _seconds(name: str, least: float, most: float, usual: float, text: str) -> Callable[[Command], Command]:
    """An option of so many seconds; passes a float named after it, with `_s`."""
    return click.option(
        *(name, f"{name.removeprefix('--')}_s"),
        type=click.FloatRange(least, most),
        default=usual,
        show_default=True,
        metavar="S",
        help=text,
    )


@click.group("desktop-pre-final-text-probe", epilog="Example: codex-oss desktop-pre-final-text-probe self-test")
def desktop_probe() -> None:
    """Let a person see whether a desktop client shows text before the end of a turn.

    `server` says PROGRESS_ONE, PROGRESS_TWO, PROGRESS_THREE and FINAL_DONE to whatever is asked, slowly; `config`
    prints what to put into Codex' configuration; `record` keeps what the person saw.
    """


@desktop_probe.command("server", epilog="Example: codex-oss desktop-pre-final-text-probe server --port 43211 --delay 1")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 picks a free one.",
)
@_seconds("--delay", 0, 60, 1.0, "Seconds before each text.")
@click.option(
    "--shape",
    type=click.Choice(("text", "commentary")),
    default="text",
    show_default=True,
    help="Messages without a phase, or as a mission sends them.",
)
@project_option
def server(port: int, delay_s: float, shape: Shape, project: Path) -> None:
    """Serve on loopback until Ctrl-C. The first line says where."""
    import signal

    from codex_oss.services.probe_provider import probe_provider

    endings = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)  # before there are threads, which would take them instead
    with probe_provider(shape, port=port, delay_s=delay_s) as base_url:
        click.echo(f"listening on {base_url}")
        signal.sigwait(endings)


@desktop_probe.command("self-test", epilog="Example: codex-oss desktop-pre-final-text-probe self-test --json")
@project_option
@json_option
def self_test(project: Path, as_json: bool) -> None:
    """Ask the probe's own server once and say whether its texts come one after the other. Exit status: 0 when so."""
    import asyncio

    from codex_oss.services.probe_provider import FINAL, PROGRESS

    arrivals = asyncio.run(_arrivals())
    texts = [text for _, text in arrivals]
    spread = arrivals[-1][0] - arrivals[0][0] if arrivals else 0.0
    good = texts == [*PROGRESS, FINAL] and spread >= SELF_TEST_DELAY_S
    if as_json:
        click.echo(_dumps({"ok": good, "probe_status": "pass" if good else "fail", "texts": texts}))
    else:
        click.echo(f"{'pass' if good else 'fail'}: {', '.join(texts) or 'nothing came'}")
    sys.exit(0 if good else 1)


SELF_TEST_DELAY_S: Final = 0.05


async def _arrivals() -> list[tuple[float, str]]:
    """When each finished text of the server arrived."""
    import time

    import aiohttp

    from codex_oss.services.probe_provider import MODEL, probe_provider
    from codex_oss.wire.sse import SseDecoder

    decoder, arrivals = SseDecoder(), list[tuple[float, str]]()
    with probe_provider("text", delay_s=SELF_TEST_DELAY_S) as base_url:
        body = {"model": MODEL, "input": "probe", "stream": True}
        timeout = aiohttp.ClientTimeout(total=20)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{base_url}/responses", json=body) as answer,
        ):
            async for chunk in answer.content.iter_any():
                for payload in decoder.feed(chunk):
                    event = json.loads(payload) if payload != b"[DONE]" else {}
                    if event.get("type") == "response.output_text.done":
                        arrivals.append((time.monotonic(), event["text"]))
    return arrivals


@desktop_probe.command("config", epilog="Example: codex-oss desktop-pre-final-text-probe config --port 43211")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="N",
    help="Port on which `server` listens.",
)
@project_option
@json_option
def config(port: int, project: Path, as_json: bool) -> None:
    """Print what to put into a configuration of Codex that is made for the probe alone. Nothing is written."""
    from codex_oss.services.probe_provider import MODEL

    text = (
        f'model = "{MODEL}"\nmodel_provider = "pre_final_text_probe"\n\n[model_providers.pre_final_text_probe]\n'
        f'name = "Pre-final text probe"\nbase_url = "http://127.0.0.1:{port}/v1"\nwire_api = "responses"\n'
        "request_max_retries = 0\nstream_max_retries = 0"
    )
    click.echo(_dumps({"ok": True, "config": text}) if as_json else text)


@desktop_probe.command("record", epilog="Example: codex-oss desktop-pre-final-text-probe record --status pass")
@click.option("--status", type=click.Choice(STATUSES), required=True, help="What was seen.")
@click.option("--client", default="", metavar="TEXT", help="Which client and version, as it shows it.")
@click.option("--note", default="", metavar="TEXT", help="Anything else, in a sentence.")
@project_option
@json_option
def record(status: str, client: str, note: str, project: Path, as_json: bool) -> None:
    """Keep what a person saw, as that person's word: it makes nothing of a mission observed."""
    from codex_oss.services.event_log import utc_now
    from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic
    from codex_oss.services.state_folder import STATE_DIR, open_state_folder

    folder = project / STATE_DIR
    open_state_folder(folder)
    ensure_private_dir(folder / "probes")
    path = folder / "probes" / "desktop-pre-final-text.jsonl"
    told = {
        "at": utc_now().isoformat(timespec="seconds"),
        "status": status,
        "client": printable(client[:200]),
        "note": printable(note[:1000]),
        "authority": "self_declared",
    }
    try:
        before = read_plain(path, MAX_RECORD_BYTES).splitlines(keepends=True)
    except OSError:
        before = []
    write_atomic(path, b"".join([*before[-(MAX_RECORDS - 1) :], _dumps(told).encode() + b"\n"]))
    click.echo(_dumps({"ok": True, **told, "path": str(path)}) if as_json else f"{status} is kept in {path}")


def _probe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--cwd",
            type=FOLDER,
            metavar="DIR",
            help="Working folder of Codex, which stays as it is. Default: the project's folder.",
        ),
        click.option("--codex", metavar="PATH", help="The Codex CLI. Default: the one on PATH."),
        click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Default: a free one."),
        _seconds("--delay", 0.01, 60, 0.25, "Seconds before each text."),
        _seconds("--timeout", 1, 600, 8.0, "Seconds that the whole turn may take."),
        click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write the result here too.",
        ),
        project_option,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("app-server-pre-final-text-probe", epilog="Example: codex-oss app-server-pre-final-text-probe --json")
@_probe_options
def text_probe(**options: Any) -> None:
    """Say whether Codex' app-server gives text on before the end of a turn.

    A provider on loopback says PROGRESS_ONE to PROGRESS_THREE and FINAL_DONE, slowly; `codex app-server` runs one turn
    against it in a folder of its own. Exit status: 0 pass, 1 fail or setup_failed.
    """
    _probe("text", **options)


@click.command("app-server-visible-commentary-probe", epilog="Example: codex-oss app-server-visible-commentary-probe")
@_probe_options
def commentary_probe(**options: Any) -> None:
    """Say whether Codex' app-server gives commentary on, as such, before the final answer.

    As app-server-pre-final-text-probe, with the phases in which a mission's remarks and its report are sent.
    """
    _probe("commentary", **options)


def _probe(
    shape: Shape,
    *,
    cwd: Path | None,
    project: Path,
    codex: str | None,
    port: int,
    delay_s: float,
    timeout_s: float,
    output: Path | None,
    as_json: bool,
) -> None:
    import msgspec

    from codex_oss.errors import StoreError
    from codex_oss.services.app_server_probe import probe_app_server
    from codex_oss.services.state_files import write_atomic

    program = codex or shutil.which("codex")
    if program is None:
        raise StoreError("There is no Codex CLI on PATH.", hint="--codex PATH names one.", code="client_missing")
    try:
        found = probe_app_server(program, shape, folder=cwd or project, port=port, delay_s=delay_s, timeout_s=timeout_s)
    except OSError as exc:
        raise StoreError(f"{program} cannot be started: {exc.strerror}.", code="client_missing") from exc
    told = {"ok": found.probe_status == "pass", **msgspec.to_builtins(found)}
    if output is not None:
        write_atomic(output, _dumps(told).encode() + b"\n")
    if as_json:
        click.echo(_dumps(told))
    else:
        click.echo(printable(f"{found.probe_status} ({found.client or 'no client answered'})"))
        for reason in found.reasons:
            click.echo(printable(f"- {reason}"))
    sys.exit(0 if told["ok"] else 1)


def _dumps(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))

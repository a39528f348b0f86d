"""`codex-oss persona`: write a personality file of one's own. docs/instructions.md has examples.

Counterparts: `accounts.persona` builds the text; `services.instruction_sets` finds the file afterwards.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from codex_oss.accounts.persona import BANDS, DOMAINS, Fields, Persona, Source, persona_of_fields, persona_of_source
from codex_oss.cli.options import json_option
from codex_oss.errors import RequestError
from codex_oss.policy.printable import printable
from codex_oss.services.instruction_sets import check_key, personality_folder
from codex_oss.services.state_files import ensure_private_dir, write_atomic

MAX_SOURCE_BYTES: Final = 1 << 20
RATIO: Final = click.FloatRange(0.0, 1.0)


@click.command(epilog="Example: codex-oss persona calm --tone 'quiet and exact' --constraint 'no exclamation marks'")
@click.argument("name")
@click.option("--inspiration", default="", help="Whom or what it takes after.")
@click.option("--tone", default="", help="How it sounds.")
@click.option("--collaboration", default="", help="How it works with people.")
@click.option("--code-style", default="", help="How its code looks.")
@click.option("--constraint", multiple=True, help="What it never does; may be given several times.")
@click.option("--example", multiple=True, help="A sentence in its voice; may be given several times.")
@click.option("--in", "source", type=click.File("rb"), help="Make it of this text instead (`-` is stdin).")
@click.option("--style", type=click.Choice(list(BANDS)), default="mid", show_default=True, help="How long it is.")
@click.option("--domain", type=click.Choice(list(DOMAINS)), default="coding", show_default=True, help="Its work.")
@click.option("--voice-fidelity", type=RATIO, default=0.85, show_default=True, help="How much of the text is kept.")
@click.option("--competence-strictness", type=RATIO, default=0.95, show_default=True, help="How many rules are added.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here; default: your own folder.")
@click.option("--overwrite", is_flag=True, help="Replace the file where there is one.")
@json_option
def persona(name: str, source: Any, out: Path | None, overwrite: bool, as_json: bool, **told: Any) -> None:
    """Build a personality file NAME and say how to use it; an existing one is kept.

    Whatever is asked for, the core contract stands in it, and directives that would make the work unsound (never ask,
    always sound sure, always agree) are replaced by a rule.
    """
    key = check_key(name)
    made = _built(key, source, told)
    path = out or personality_folder(os.environ) / f"{key}.md"
    kept = path.exists() and not overwrite
    if not kept:
        if out is None:
            ensure_private_dir(path.parent)
        write_atomic(path, made.text.encode(), mode=0o600)
    if as_json:
        click.echo(json.dumps(_as_json(key, path, made, kept=kept), ensure_ascii=False))
    else:
        _tell(key, path, made, kept=kept, own=out is None)


def _built(key: str, source: Any, told: dict[str, Any]) -> Persona:
    fields = Fields(
        inspiration=told["inspiration"],
        tone=told["tone"],
        collaboration_style=told["collaboration"],
        code_style=told["code_style"],
        constraints=told["constraint"],
        examples=told["example"],
    )
    if source is None:
        if fields == Fields():
            raise RequestError(
                "Nothing is said about the personality.", hint="Give --tone, other fields, or --in FILE."
            )
        return persona_of_fields(key, fields, told["style"])
    if fields != Fields():
        raise RequestError("--in and the fields exclude each other.", hint="Leave one of them out.")
    data = source.read(MAX_SOURCE_BYTES + 1)
    if len(data) > MAX_SOURCE_BYTES:
        raise RequestError("The text is larger than 1 MiB.", hint="Give an excerpt.")
    text = data.decode("utf-8", "replace")
    if not text.strip():
        raise RequestError("The text is empty.", hint="Give a text about whoever the personality takes after.")
    described = Source(
        text=text,
        voice_fidelity=told["voice_fidelity"],
        competence_strictness=told["competence_strictness"],
        domain=told["domain"],
    )
    return persona_of_source(key, described, told["style"])


def _as_json(key: str, path: Path, made: Persona, *, kept: bool) -> dict[str, Any]:
    return {
        "name": key,
        "status": "kept" if kept else "created",
        "path": str(path),
        "tokens": made.tokens,
        "band": list(made.band),
        "in_band": made.in_band,
        "neutralised": [{"code": code, "line": line} for code, line in made.neutralised],
        "left_out": made.left_out,
    }


def _tell(key: str, path: Path, made: Persona, *, kept: bool, own: bool) -> None:
    if kept:
        click.echo(printable(f"{path} exists and was kept; --overwrite replaces it."))
        return
    low, high = made.band
    size = f"about {made.tokens} tokens" + ("" if made.in_band else f" (the style aims at {low} to {high})")
    click.echo(printable(f"{path}: {size}"))
    for code, line in made.neutralised:
        click.echo(printable(f"  replaced [{code}]: {line}"))
    if made.left_out:
        click.echo(f"  {made.left_out} lines were left out")
    if own:
        click.echo(f'To use it: instruction_set = ["{key}"] in config.toml, or CODEX_OSS_INSTRUCTION_SET={key}.')

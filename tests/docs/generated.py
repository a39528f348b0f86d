"""The parts of docs/ that are made from the code: help texts, error tables, settings.

    <!-- generated: NAME -->
    …
    <!-- /generated -->

Counterpart: `test_generated.py` compares. To write them anew: `python -m tests.docs.generated`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, get_args

import click

from bench.record_section import render_section
from bench.runtime_section import render_runtime
from codex_oss.accounts.failover import REASONS as ATTEMPT_REASONS
from codex_oss.agent.events import AgentEvent
from codex_oss.agent.tools import TOOLS
from codex_oss.cli.main import cli
from codex_oss.config import SETTINGS, Config
from codex_oss.errors import HTTP_STATUS, RESPONSES_CODE
from codex_oss.missions.observing import CODES
from codex_oss.policy.admission import REFUSALS
from codex_oss.policy.cache_monitor import CAUSES, EXPECTED
from codex_oss.policy.deviation import REASONS
from codex_oss.tui.account_manager import KEYS as ACCOUNT_KEYS
from codex_oss.tui.chat_app import KEYS as CHAT_KEYS
from codex_oss.wire.account_body import DROPPED, FIELDS, UNKNOWN
from tests.clients.rude import CLI_CLIENTS, render_failures, render_sdk_failures
from tests.docs.markdown import PAGES
from tests.gallery.table import render_gallery, render_gates
from tests.gallery.table import render_reasons as render_gate_reasons
from tests.policy.secret_corpus import render_denied, render_missed, render_recall
from tests.services.prompt_costs import render_costs
from tests.services.record_mutations import render_table, render_unseen

WIDTH = 100
PART = re.compile(r"^<!-- generated: (?P<name>[^>]+) -->\n(?P<body>.*?)^<!-- /generated -->$", re.DOTALL | re.MULTILINE)


def commands(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb and subverb with its words, groups included, in the order of the help."""
    if path:
        yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, (*path, name))


def render_help(command: click.Command, path: tuple[str, ...]) -> str:
    """What `codex-oss PATH --help` prints."""
    parent = None
    for word in ("codex-oss", *path[:-1]):
        parent = click.Context(cli, info_name=word, parent=parent)
    context = click.Context(command, info_name=path[-1], parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    return command.get_help(context)


def render_verbs() -> str:
    """A section per verb."""
    parts = [f"### {' '.join(path)}\n\n```text\n{render_help(command, path)}\n```\n" for path, command in commands()]
    return "\n".join(parts)


def render_http_status() -> str:
    """The table of `errors.HTTP_STATUS`."""
    rows = [f"| `{code}` | {status} |" for code, status in HTTP_STATUS.items()]
    return _table("| code | HTTP status |\n| --- | --- |", rows)


def render_responses_code() -> str:
    """The table of `errors.RESPONSES_CODE`."""
    rows = [f"| `{code}` | `{told}` |" for code, told in RESPONSES_CODE.items()]
    return _table("| code | `response.error.code` |\n| --- | --- |", rows)


def render_reasons() -> str:
    """The table of `policy.deviation.REASONS`."""
    rows = [f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()]
    return _table("| reason | what it means |\n| --- | --- |", rows)


def render_account_fields() -> str:
    """The tables of `wire.account_body`."""
    rows = [f"| `{name}` | {rule.action} | {rule.reason} |" for name, rule in FIELDS.items()]
    rows += [f"| `{name}` | dropped | {reason} |" for name, reason in DROPPED.items()]
    return _table(
        "| field | what happens | why |\n| --- | --- | --- |", [*rows, f"| any other | dropped | {UNKNOWN} |"]
    )


def render_account_attempts() -> str:
    """The table of `accounts.failover.REASONS`."""
    rows = [f"| `{reason}` | {meaning} |" for reason, meaning in ATTEMPT_REASONS.items()]
    return _table("| reason | what it means |\n| --- | --- |", rows)


def render_settings() -> str:
    """The table of `config.SETTINGS`."""
    head = "| key | environment | default | allowed | what it is |\n| --- | --- | --- | --- | --- |"
    rows = []
    for setting in SETTINGS:
        names = ", ".join(f"`{name}`" for name in setting.env) or "-"
        default = _shown(getattr(Config(), setting.field))
        rows.append(f"| `{setting.field}` | {names} | {default} | {allowed(setting.parse)} | {setting.help} |")
    return _table(head, rows)


def allowed(parse: Any) -> str:
    """What a setting accepts, in the words of its own refusal."""
    try:
        parse(object())
    except ValueError as exc:
        return str(exc).removeprefix("expected ").partition(", got")[0]
    raise AssertionError("every setting refuses an object")


def render_cache_causes() -> str:
    """What the cache monitor may name: bad steps, then expected ones."""
    rows = [f"| `{cause}` | bad | {words} |" for cause, words in CAUSES.items()]
    rows += [f"| `{cause}` | expected | {words} |" for cause, words in EXPECTED.items()]
    return _table("| cause | step | what it means |\n| --- | --- | --- |", rows)


def render_observation_codes() -> str:
    """The table of `missions.observing.CODES`."""
    return _table(
        "| code | what it means |\n| --- | --- |", [f"| `{code}` | {words} |" for code, words in CODES.items()]
    )


def render_admission_refusals() -> str:
    """The table of `policy.admission.REFUSALS`."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in REFUSALS.items()]
    return _table("| code | why |\n| --- | --- |", rows)


def render_keys(keys: Iterable[tuple[str, str]]) -> str:
    """What each key of a screen does."""
    return _table("| key | what it does |\n| --- | --- |", [f"| {key} | {words} |" for key, words in keys])


def render_agent_tools() -> str:
    """The table of `agent.tools.TOOLS`."""
    rows = []
    for name, row in TOOLS.items():
        arguments = ", ".join(f"`{key}`{'' if one.required else '?'}" for key, one in row.arguments.items())
        rows.append(
            f"| `{name}` | {arguments} | {'yes' if row.asks else 'no'} | {row.help.partition('. ')[0].rstrip('.')} |"
        )
    return _table("| tool | arguments | asks first | what it does |\n| --- | --- | --- | --- |", rows)


def render_agent_events() -> str:
    """Every event of `agent.events.AgentEvent`: its type, its fields, its meaning."""
    rows = []
    for event in get_args(AgentEvent):
        fields = ", ".join(f"`{name}`" for name in event.__struct_fields__)
        meaning = " ".join((event.__doc__ or "").split()).replace("|", "\\|")
        rows.append(f"| `{event.__struct_config__.tag}` | {fields} | {meaning} |")
    return _table("| type | fields | what it says |\n| --- | --- | --- |", rows)


GENERATED: dict[str, Callable[[], str]] = {
    "cache causes": render_cache_causes,
    "observation codes": render_observation_codes,
    "agent tools": render_agent_tools,
    "agent events": render_agent_events,
    "verbs": render_verbs,
    "http status": render_http_status,
    "responses code": render_responses_code,
    "reasons": render_reasons,
    "admission refusals": render_admission_refusals,
    "settings": render_settings,
    "keys accounts": partial(render_keys, ACCOUNT_KEYS),
    "keys chat": partial(render_keys, CHAT_KEYS),
    "account fields": render_account_fields,
    "account attempts": render_account_attempts,
    "prompt costs": render_costs,
    "record figures": render_section,
    "gates": render_gates,
    "gate reasons": render_gate_reasons,
    "gallery": render_gallery,
    "runtime figures": render_runtime,
    "redaction recall": render_recall,
    "redaction missed": render_missed,
    "denied names": render_denied,
    "record mutations": render_table,
    "record unseen": render_unseen,
    "failures sdk": render_sdk_failures,
    **{f"failures {client}": partial(render_failures, client) for client in CLI_CLIENTS},
}


def parts() -> list[tuple[str, str]]:
    """(name, body) of every generated part in the pages."""
    found = [match for page in PAGES for match in PART.finditer(page.read_text(encoding="utf-8"))]
    return [(match["name"], match["body"]) for match in found]


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, *rows, ""])


def _shown(value: Any) -> str:
    match value:
        case None | () | "":
            return "-"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case dict():
            return "see below" if value else "-"
        case _:
            return f"`{value}`"


def write_pages() -> None:
    """Write every generated part anew."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = PART.sub(
            lambda m: f"<!-- generated: {m['name']} -->\n{GENERATED[m['name']]()}<!-- /generated -->", before
        )
        if after != before:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    write_pages()

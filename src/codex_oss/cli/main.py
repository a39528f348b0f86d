"""`codex-oss`: the group of all verbs, loaded one at a time.

Rules that hold here:

1. Importing this file imports click and nothing else of weight; a verb's module is imported when it is called, or
   when its own `--help` is asked for. The short help of the list comes from the table below (a test compares it).
2. Exit codes: 0 done, 1 not done, 2 asked wrongly; a mission adds 10, 11 and 12 (`docs/cli.md`).
3. Bad input gets one sentence with its code and a hint on stderr, never a traceback; with `--json` the same stands
   on stdout as one object.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from codex_oss import __version__
from codex_oss.errors import BridgeError, RequestError
from codex_oss.policy.printable import printable, printable_json

VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("codex_oss.cli.demo:demo", "Run one real mission with the embedded open model."),
    "run": (
        "codex_oss.cli.run:run",
        "Put a prompt to a model that can read, search, edit and run commands in the project.",
    ),
    "chat": (
        "codex_oss.tui.chat:chat",
        "Chat on a full screen with a model that can read, search, edit and run commands in the project.",
    ),
    "up": ("codex_oss.cli.daemon:up", "Run the bridge in the foreground, or around one command."),
    "start": ("codex_oss.cli.daemon:start", "Start the bridge in the background."),
    "stop": ("codex_oss.cli.daemon:stop", "Stop the bridge of this project."),
    "restart": (
        "codex_oss.cli.daemon:restart",
        "Stop the bridge, start it again, and prove that it is the new one.",
    ),
    "status": ("codex_oss.cli.daemon:status", "Say whether the bridge runs, which one, and how it is."),
    "requests": ("codex_oss.cli.requests:requests", "List the requests that the bridge answered or refused."),
    "accounts": ("codex_oss.cli.accounts:accounts", "See your ChatGPT accounts and say which of them answers."),
    "tui": (
        "codex_oss.tui.accounts:tui",
        "Manage the ChatGPT accounts on a full screen: add, use, pin, switch off, delete, see what is left.",
    ),
    "doctor": ("codex_oss.cli.doctor:doctor", "Check the set-up and name the fix for each fault."),
    "install": ("codex_oss.cli.install:install", "Connect Codex and OpenCode to the bridge."),
    "uninstall": ("codex_oss.cli.install:uninstall", "Take out what install wrote."),
    "login": ("codex_oss.cli.login:login", "Sign in with a ChatGPT account."),
    "logout": (
        "codex_oss.cli.logout:logout",
        "Sign out: remove an account and its tokens from this machine.",
    ),
    "mcp": (
        "codex_oss.cli.mcp:mcp",
        "Offer missions as MCP tools (delegate, mission_start, …) on stdin and stdout.",
    ),
    "report": ("codex_oss.cli.report:report", "Print a report as JSON that names nobody, for pasting in public."),
    "instructions": (
        "codex_oss.cli.instructions:instructions",
        "Show and check optional instruction sets: personalities and prompts, off by default.",
    ),
    "persona": (
        "codex_oss.cli.persona:persona",
        "Build a personality file NAME and say how to use it; an existing one is kept.",
    ),
    "mission": ("codex_oss.cli.missions:mission", "Write, run and list missions."),
    "validate-handoff": (
        "codex_oss.cli.contracts:validate_handoff",
        "List every breach of the contract in FILE (or `-` for stdin).",
    ),
    "show-summary": ("codex_oss.cli.records:show_summary", "Print the summary of a mission's latest run."),
    "show-trace": (
        "codex_oss.cli.records:show_trace",
        "Print every step of a mission's latest run: what was proposed, the verdict, the outcome.",
    ),
    "audit-mission": (
        "codex_oss.cli.records:audit_mission",
        "Check a mission's log, its projections and its claims.",
    ),
    "show-commentary": (
        "codex_oss.cli.records:show_commentary",
        "Print what was said while a mission ran, remark by remark, at the level that it ran with.",
    ),
    "show-delivery": (
        "codex_oss.cli.records:show_delivery",
        "Print what became of everything a mission said: created, emitted, observed.",
    ),
    "claim-status": (
        "codex_oss.cli.claims:claim_status",
        "Say which claims stand: of one mission, or of this program in this project.",
    ),
    "desktop-observation": (
        "codex_oss.cli.observation:desktop_observation",
        "Say what a client really showed of a mission, from what the client itself wrote down.",
    ),
    "desktop-pre-final-text-probe": (
        "codex_oss.cli.probes:desktop_probe",
        "Let a person see whether a desktop client shows text before the end of a turn.",
    ),
    "app-server-pre-final-text-probe": (
        "codex_oss.cli.probes:text_probe",
        "Say whether Codex' app-server gives text on before the end of a turn.",
    ),
    "app-server-visible-commentary-probe": (
        "codex_oss.cli.probes:commentary_probe",
        "Say whether Codex' app-server gives commentary on, as such, before the final answer.",
    ),
    "explain": ("codex_oss.cli.records:explain", "Say in plain words why a mission ended as it did."),
}
"""Verb to (module:command, short help)."""


class LazyGroup(click.Group):
    """A group whose commands are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb; None for an unknown one (click then says so)."""
        entry = VERBS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in VERBS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: codex-oss demo",
)
@click.version_option(__version__, prog_name="codex-oss")
def cli() -> None:
    """Codex, OpenCode and open models behind one local Responses address.

    Hand bounded work to open models without handing them the keys to the repository.
    """


def main(argv: list[str] | None = None) -> None:
    """Entry point: turn our errors into a sentence, a hint and an exit code."""
    try:
        cli.main(args=argv, prog_name="codex-oss", standalone_mode=True)
    except BridgeError as exc:
        if "--json" in (sys.argv if argv is None else argv):
            click.echo(render_error_json(exc))
        click.echo(printable(f"error: {exc.message} [{exc.code}]"), err=True)
        if exc.hint:
            click.echo(printable(f"hint: {exc.hint}"), err=True)
        sys.exit(2 if isinstance(exc, RequestError) else 1)


def render_error_json(error: BridgeError) -> str:
    """The one object on stdout when a verb that was asked for JSON could not do its work."""
    import json

    told = {"ok": False, "error": error.code, "message": error.message, "hint": error.hint}
    return printable_json(json.dumps(told, ensure_ascii=False))

"""One block of a chat as text for the screen.

Counterparts: `tui.chat_log` has the blocks, `tui.chat_view` and `tui.approval` show what is made here.

Rules that hold here:

1. What a model, a file or a command wrote is made printable and never read as markup.
2. Reasoning and the output of tools are folded: one line says what there is. A diff is always seen.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

from codex_oss.agent.events import Proposal
from codex_oss.policy.printable import printable
from codex_oss.tui.chat_log import Block
from codex_oss.wire.events import Usage

MAX_DIFF_LINES: Final = 24
"""Of a diff in the conversation; the question shows all of it."""
MAX_OUTPUT_LINES: Final = 400
STYLES: Final = {
    "proposed": "dim",
    "asks": "yellow",
    "running": "yellow",
    "done": "green",
    "failed": "red",
    "refused": "red",
    "cut off": "red",
}
DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


def drawn(block: Block, *, unfolded: bool = False) -> Text:
    """A block. unfolded: with its reasoning or its output."""
    match block.kind:
        case "you":
            return Text.assemble(("› ", "bold cyan"), (printable(block.text), "bold"))
        case "assistant":
            return Text(printable(block.text))
        case "reasoning":
            return _reasoning(block, unfolded)
        case "tool":
            return _tool(block, unfolded)
        case "notice":
            return Text(f"note: {printable(block.text)}", style="yellow")
        case "end":
            return Text(printable(block.text), style="red")


def drawn_diff(diff: str, max_lines: int | None = None) -> Text:
    """A unified diff; what is left out is counted."""
    lines = printable(diff).rstrip("\n").split("\n")
    shown = lines if max_lines is None else lines[:max_lines]
    text = Text("\n").join(Text(line, style=DIFF_STYLES.get(line[:1], "dim")) for line in shown)
    if len(shown) < len(lines):
        text.append(f"\n… {len(lines) - len(shown)} more lines", style="dim")
    return text


def drawn_usage(usage: Usage) -> str:
    """`12.3k in (9.1k cached) · 1.2k out`; empty while nothing was told. A guess is called one."""
    if not (usage.input_tokens or usage.output_tokens):
        return ""
    cached = f" ({_count(usage.cached_tokens)} cached)" if usage.cached_known else ""
    about = "about " if usage.estimated else ""
    return f"{about}{_count(usage.input_tokens)} in{cached} · {_count(usage.output_tokens)} out"


def proposal_lines(proposal: Proposal, max_diff_lines: int | None = None) -> Text:
    """What would be done: the command with its sandbox, or the diff; empty for what only reads."""
    if proposal.command:
        where = f"in the sandbox ({proposal.sandbox})" if proposal.sandbox else "outside any sandbox"
        return Text.assemble((f"{where}\n", "dim"), printable(proposal.command))
    return drawn_diff(proposal.diff, max_diff_lines) if proposal.diff else Text()


def _reasoning(block: Block, unfolded: bool) -> Text:
    if unfolded:
        return Text(printable(block.text), style="dim italic")
    lines = len(block.text.splitlines())
    return Text(f"▸ thought ({lines} line{'' if lines == 1 else 's'})", style="dim")


def _tool(block: Block, unfolded: bool) -> Text:
    proposal = block.proposal
    words = printable(proposal.summary).replace("\n", " ") if proposal else "a tool"
    took = f", {block.duration_ms / 1000:.1f} s" if block.duration_ms >= 100 else ""
    text = Text.assemble(("● ", STYLES.get(block.state, "")), words, (f"  [{block.state}{took}]", "dim"))
    shown = proposal_lines(proposal, MAX_DIFF_LINES) if proposal else Text()
    if shown:
        text.append("\n").append_text(shown)
    if block.summary:
        text.append(f"\n  {printable(block.summary)}", style="red" if block.state in ("failed", "refused") else "dim")
    if block.text:
        text.append_text(_output(block.text, unfolded))
    return text


def _output(output: str, unfolded: bool) -> Text:
    lines = printable(output).rstrip("\n").split("\n")
    if not unfolded:
        return Text(f"\n  ▸ output ({len(lines)} line{'' if len(lines) == 1 else 's'})", style="dim")
    text = Text("".join(f"\n  │ {line}" for line in lines[:MAX_OUTPUT_LINES]), style="dim")
    if len(lines) > MAX_OUTPUT_LINES:
        text.append(f"\n  … {len(lines) - MAX_OUTPUT_LINES} more lines", style="dim")
    return text


def _count(tokens: int) -> str:
    return f"{tokens / 1000:.1f}k" if tokens >= 1000 else str(tokens)

"""What the stand-in model sends and what a stream must hold when it arrives: one definition for both sides.

A model name says all, so that it passes through any proxy: `bench-n<deltas>-r<deltas a second, 0 = at once>[-cut]`.
One fifth of the deltas is reasoning, three fifths text, one fifth arguments of a call. A delta is
`<number:07d>.<sent at, monotonic ns in hex:016x> `: order and completeness can be checked, and its age at the client.
`-cut` sends the bytes in pieces that end anywhere, inside characters and chunk sizes too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MODEL = re.compile(r"bench-n(\d+)-r(\d+)(-cut)?")
DELTA = re.compile(rb"(\d{7})\.([0-9a-f]{16}) ")
PAD = "The quick agent reads the file before it changes a line of it. "


@dataclass(frozen=True, slots=True)
class Load:
    """deltas of one stream, per_s of each stream (0: at once), cut: pieces that end anywhere."""

    deltas: int
    per_s: int
    cut: bool = False

    @property
    def model(self) -> str:
        """The name that says this."""
        return f"bench-n{self.deltas}-r{self.per_s}{'-cut' if self.cut else ''}"


def load_of(model: str) -> Load:
    """Read a model name."""
    found = MODEL.search(model)
    if found is None:
        raise ValueError(f"not a model of the benchmark: {model}")
    return Load(int(found[1]), int(found[2]), bool(found[3]))


def kind_of(number: int, deltas: int) -> str:
    """reasoning, text or arguments: the kind of one delta of a stream."""
    fifth = deltas // 5
    return "reasoning" if number < fifth else "text" if number < deltas - fifth else "arguments"


def request_body(model: str, history_kb: int, *, store: bool = False) -> bytes:
    """A coding agent's request of about *history_kb* KiB: instructions, one past call with its output, one tool.

    Agents that keep their own history send `store: false`; with *store* the bridge keeps the turn.
    """
    text = (PAD * (history_kb * 1024 // len(PAD) + 1))[: history_kb * 512]
    schema = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    tool = {"type": "function", "name": "shell", "description": "Run a command.", "parameters": schema, "strict": False}
    items: list[dict[str, object]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Show the files."}]},
        {"type": "function_call", "call_id": "call_0", "name": "shell", "arguments": '{"command":"ls"}'},
        {"type": "function_call_output", "call_id": "call_0", "output": text},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]},
    ]
    body = {"model": model, "stream": True, "store": store, "instructions": text, "tools": [tool], "input": items}
    return json.dumps(body).encode()

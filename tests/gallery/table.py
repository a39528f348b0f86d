"""All exhibits, and the table of them on `docs/truth-gates.md`."""

from __future__ import annotations

from codex_oss.missions.explain import REASONS
from codex_oss.missions.gates import GATES
from tests.gallery import lies_of_contract, lies_of_form, lies_of_lines, lies_of_reading, lies_of_search
from tests.gallery.exhibit import Exhibit

EXHIBITS: tuple[Exhibit, ...] = (
    *lies_of_reading.EXHIBITS,
    *lies_of_lines.EXHIBITS,
    *lies_of_search.EXHIBITS,
    *lies_of_form.EXHIBITS,
    *lies_of_contract.EXHIBITS,
)


def render_gates() -> str:
    """Every gate, what it demands and the reason codes that it gives."""
    rows = [
        f"| {gate.name} | {gate.asks} | {code_list(gate.codes)} | {len(lies_held_by(gate.codes))} |" for gate in GATES
    ]
    return "\n".join(["| gate | what it demands | reason codes | lies shown |", "| --- | --- | --- | --- |", *rows, ""])


def render_gallery() -> str:
    """Every exhibit with what the liar does and why that ends below COMPLETE."""
    rows = [
        f"| {exhibit.name} | {exhibit.lie} | {code_list(exhibit.codes)}{_native(exhibit)} |" for exhibit in EXHIBITS
    ]
    return "\n".join(["| lie | what the model does | ends with |", "| --- | --- | --- |", *rows, ""])


def render_reasons() -> str:
    """The sentence of each reason code of a gate."""
    rows = [f"| `{code}` | {REASONS[code]} |" for code in dict.fromkeys(code for gate in GATES for code in gate.codes)]
    return "\n".join(["| reason code | in plain words |", "| --- | --- |", *rows, ""])


def lies_held_by(codes: tuple[str, ...]) -> list[Exhibit]:
    """The exhibits that end with one of these codes."""
    return [exhibit for exhibit in EXHIBITS if not set(codes).isdisjoint(exhibit.codes)]


def code_list(codes: tuple[str, ...]) -> str:
    """Codes as they stand in a table."""
    return ", ".join(f"`{code}`" for code in codes)


def _native(exhibit: Exhibit) -> str:
    return f" (native calls: {code_list(exhibit.native_codes)})" if exhibit.native_codes else ""

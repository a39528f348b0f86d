"""Assembling calls: the table of how vendors number and cut their pieces."""

from __future__ import annotations

import pytest

from codex_oss.wire.chat_calls import CallAssembler
from codex_oss.wire.chat_chunks import CallDelta, FunctionDelta

Piece = tuple[int | None, str | None, str | None, str | None]
"""index, id, name, arguments of one piece."""

TABLE: dict[str, tuple[list[Piece], list[tuple[str, str, str]]]] = {
    "as documented": (
        [(0, "a", "f", ""), (0, None, None, "{"), (0, None, None, "}"), (1, "b", "g", ""), (1, None, None, "{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "index 0 for all, other ids": ([(0, "a", "f", "{}"), (0, "b", "f", "{}")], [("a", "f", "{}"), ("b", "f", "{}")]),
    "index 0 for all, other ids, streamed": (
        [(0, "a", "f", ""), (0, None, None, "{}"), (0, "b", "f", ""), (0, None, None, "[]")],
        [("a", "f", "{}"), ("b", "f", "[]")],
    ),
    "index 0 for all, empty ids": ([(0, "", "f", "{}"), (0, "", "f", "{}")], [("", "f", "{}"), ("", "f", "{}")]),
    "index 0 for all, another name": ([(0, None, "f", ""), (0, None, "g", "{}")], [("", "f", ""), ("", "g", "{}")]),
    "name and id repeated": ([(0, "a", "f", "{"), (0, "a", "f", '"x":1'), (0, "a", "f", "}")], [("a", "f", '{"x":1}')]),
    "name repeated without id": (
        [(0, None, "f", '{"x":'), (0, None, "f", "{}"), (0, None, "f", "}")],
        [("", "f", '{"x":{}}')],
    ),
    "name repeated after the whole": ([(0, "a", "f", "{}"), (0, None, "f", "")], [("a", "f", "{}")]),
    "no index, by id": (
        [(None, "a", "f", "{"), (None, "b", "g", "{"), (None, "a", None, "}")],
        [("a", "f", "{}"), ("b", "g", "{")],
    ),
    "no index, no id": ([(None, None, "f", "{"), (None, None, None, "}")], [("", "f", "{}")]),
    "no index, no id, whole calls": (
        [(None, None, "f", "{}"), (None, None, "f", "{}")],
        [("", "f", "{}"), ("", "f", "{}")],
    ),
    "id late": ([(0, None, "f", "{"), (0, "a", None, "}")], [("a", "f", "{}")]),
    "name late": ([(0, "a", None, "{"), (0, None, "f", "}")], [("a", "f", "{}")]),
    "another id without a name": ([(0, "a", "f", "{"), (0, "z", "", "}")], [("a", "f", "{}")]),
    "same id under two indexes": ([(0, "a", "f", "{}"), (1, "a", "f", "{}")], [("a", "f", "{}"), ("a", "f", "{}")]),
    "indexes from 1": ([(1, "a", "f", "{}"), (3, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    "negative index": ([(-1, "a", "f", "{"), (-1, None, None, "}")], [("a", "f", "{}")]),
}


@pytest.mark.parametrize("name", TABLE)
def test_pieces_find_their_call(name: str) -> None:
    """Each vendor's way to number pieces gives the calls that were meant."""
    pieces, expected = TABLE[name]
    assembler = CallAssembler()
    for index, call_id, function_name, arguments in pieces:
        call = assembler.call_for(CallDelta(index, call_id, FunctionDelta(function_name, arguments)))
        if arguments:
            call.pieces.append(arguments)
    assert [(call.upstream_id, call.name, call.arguments()) for call in assembler.calls] == expected


def test_a_piece_without_function_begins_a_call() -> None:
    """An id alone opens a call that waits for its name."""
    assembler = CallAssembler()
    call = assembler.call_for(CallDelta(0, "a", None))
    assert (call.upstream_id, call.name, call.is_whole()) == ("a", "", True)

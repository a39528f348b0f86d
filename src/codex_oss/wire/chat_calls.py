"""Assemble the tool calls of one chat answer from pieces that vendors number in their own ways.

Counterpart: `wire.chat_answer` opens and closes the items.

Rules that hold here:

1. A piece belongs to the call of its index; without an index to the call of its id, else to the last call.
2. A new call begins where an index is new, and where a known index comes with a name and (another id, another name,
   or arguments that are whole already): several upstreams use index 0 for all parallel calls.
3. A name that is repeated in each piece is read once.
Source: OpenAI "function calling, streaming"; the table in `tests/wire/test_chat_calls.py` has the vendors' forms.
"""

from __future__ import annotations

import msgspec

from codex_oss.wire.chat_chunks import CallDelta, FunctionDelta
from codex_oss.wire.events import CustomCallStart


class AssembledCall:
    """One call so far. `index` is its place in the output, None until its name is known and the item opened.

    search: a search for tools, whose item opens only when the answer is whole.
    """

    __slots__ = ("call_id", "custom", "index", "name", "pieces", "search", "upstream_id")

    def __init__(self) -> None:
        self.index: int | None = None
        self.upstream_id = ""
        self.call_id = ""
        self.name = ""
        self.custom: CustomCallStart | None = None
        self.search = False
        self.pieces: list[str] = []

    def arguments(self) -> str:
        """Return all pieces of the arguments so far."""
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Say whether the arguments are one whole JSON value, or none where nothing was sent at all."""
        text = self.arguments()
        if not text.strip():
            return True
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        return True


class CallAssembler:
    """All calls of one answer, in the order they began."""

    def __init__(self) -> None:
        self.calls: list[AssembledCall] = []
        self._by_index: dict[int, AssembledCall] = {}

    def call_for(self, piece: CallDelta) -> AssembledCall:
        """Return the call that *piece* continues, or a new one; ids and names are taken over, arguments are not."""
        function = piece.function or _NOTHING
        call = self._known(piece)
        if call is None or _begins_another(call, piece.id or "", function):
            call = AssembledCall()
            self.calls.append(call)
            if piece.index is not None:
                self._by_index[piece.index] = call
        call.upstream_id = call.upstream_id or piece.id or ""
        call.name = call.name or function.name or ""
        return call

    def _known(self, piece: CallDelta) -> AssembledCall | None:
        if piece.index is not None:
            return self._by_index.get(piece.index)
        if piece.id:
            for call in self.calls:
                if call.upstream_id == piece.id:
                    return call
        return self.calls[-1] if self.calls else None


_NOTHING = FunctionDelta()


def _begins_another(call: AssembledCall, upstream_id: str, function: FunctionDelta) -> bool:
    if not function.name or not call.name:
        return False
    if upstream_id and call.upstream_id:
        return upstream_id != call.upstream_id
    if function.name != call.name:
        return True
    # The cheap look at the last piece first: a server that repeats the name would make this quadratic.
    return bool(function.arguments and call.pieces) and call.pieces[-1].rstrip().endswith("}") and call.is_whole()

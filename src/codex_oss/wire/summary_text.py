"""The words in which the opened summary of a compaction is put to a model, whatever protocol it is asked in.

Counterparts: `wire.chat_messages` and `wire.responses_body`; `server.turn_desk` opened the seal.
"""

from __future__ import annotations

from typing import Final

from codex_oss.errors import InvalidRequest

NOTE: Final = "The earlier part of this conversation was replaced by this summary of it:"


def summary_text(summary: str, position: int) -> str:
    """The text of a user message. position: of the item in `input`. Raises InvalidRequest for one still sealed."""
    if not summary:
        where = f"input[{position}]"
        raise InvalidRequest(f"`{where}` holds a sealed summary that was not opened.", param=where)
    return f"{NOTE}\n<conversation_summary>\n{summary}\n</conversation_summary>"

"""What is being handed to one client, and noted once it was: the moment between *created* and *emitted*.

Counterparts: the mission lane, the MCP tools and the terminal hand over; `services.delivery_log` keeps the notes.

Rules that hold here:

1. Noted is what was written, not what is about to be: `add` comes after the write.
2. Notes are joined, so that a batch costs one append; whoever hands over calls `note` between batches, and `finish` at
   the end, also when the client has left in between.
3. A viewer is not held up by its notes: when one cannot be kept, what is to be noted is collected until the end.
"""

from __future__ import annotations

import asyncio

from codex_oss.missions.delivery import Channel, EmittedItem, ItemsEmitted, emitted_item, thread_digest
from codex_oss.policy.printable import printable
from codex_oss.services.delivery_log import DeliveryBook

MAX_CLIENT_CHARS = 80


class Handover:
    """One client that is being told of one run. thread_id, client: as the client named them; empty when it did not."""

    def __init__(
        self,
        book: DeliveryBook,
        run_id: str,
        mission_id: str,
        channel: Channel,
        *,
        thread_id: str = "",
        client: str = "",
    ) -> None:
        self._book = book
        self._run_id = run_id
        self._mission_id = mission_id
        self._channel: Channel = channel
        self._thread = thread_digest(run_id, thread_id)
        self._client = book.redacted(printable(client[:MAX_CLIENT_CHARS].replace("\n", " ")))
        self._items: list[EmittedItem] = []
        self._failing = False

    def add(self, item: str, text: str) -> None:
        """This text was handed over just now."""
        self._items.append(emitted_item(item, text))

    async def note(self) -> None:
        """Keep what was added since the last time."""
        if not self._failing:
            await self.finish()

    async def finish(self) -> None:
        """The same, for the last time; a failure costs a warning."""
        if self._items:
            await asyncio.to_thread(self.finish_now)

    def finish_now(self) -> None:
        """The same, blocking, for whoever has no loop."""
        if not self._items:
            return
        items = tuple(self._items)
        event = ItemsEmitted(self._channel, items, self._thread, self._client)
        self._failing = not self._book.note(self._run_id, self._mission_id, event)
        if not self._failing:
            del self._items[: len(items)]

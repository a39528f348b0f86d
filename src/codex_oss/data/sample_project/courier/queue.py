"""Messages that wait for delivery, and those that could not be delivered."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One webhook: where it goes and what it says."""

    url: str
    body: str


class QueueFull(Exception):
    """The queue holds as many messages as the settings allow."""


@dataclass
class Queue:
    """First in, first out, bounded."""

    max_messages: int
    waiting: deque[Message] = field(default_factory=deque)
    dead_letters: list[Message] = field(default_factory=list)

    def put(self, message: Message) -> None:
        """Add a message; raises QueueFull instead of forgetting an older one."""
        if len(self.waiting) >= self.max_messages:
            raise QueueFull(message.url)
        self.waiting.append(message)

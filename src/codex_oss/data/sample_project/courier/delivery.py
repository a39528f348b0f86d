"""Deliver one message: try, wait, try again, and give up at the retry limit."""

from collections.abc import Callable

from courier.backoff import pause_s
from courier.queue import Message, Queue
from courier.settings import Settings

Send = Callable[[Message, float], bool]


def deliver(message: Message, queue: Queue, settings: Settings, send: Send, sleep: Callable[[float], None]) -> int:
    """Return the number of tries made; an undeliverable message ends in the dead letters."""
    for attempt in range(1, settings.retry_limit + 1):
        if send(message, settings.timeout_s):
            return attempt
        if attempt < settings.retry_limit:
            sleep(pause_s(attempt))
    queue.dead_letters.append(message)
    return settings.retry_limit

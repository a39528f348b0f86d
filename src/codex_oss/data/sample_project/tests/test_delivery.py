"""What happens to a message that cannot be delivered."""

import unittest

from courier.delivery import deliver
from courier.queue import Message, Queue
from courier.settings import Settings


class Delivery(unittest.TestCase):
    def test_a_dead_subscriber_is_tried_up_to_the_retry_limit(self) -> None:
        queue, pauses = Queue(max_messages=1), []
        message = Message("http://subscriber.invalid/hook", "{}")
        tries = deliver(message, queue, Settings(retry_limit=3), lambda *_: False, pauses.append)
        self.assertEqual(tries, 3)
        self.assertEqual(pauses, [0.5, 1.0])
        self.assertEqual(queue.dead_letters, [message])


if __name__ == "__main__":
    unittest.main()

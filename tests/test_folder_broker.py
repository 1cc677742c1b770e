"""The broker of the embedded mode: messages in a folder."""

import threading
from queue import Empty

from kombu import Connection

from config.broker import transport_options

COUNT = 500
# Kombu remembers for the whole process which queues it has declared, in whatever folder.
QUEUE = "queue-of-this-test"


def test_messages_are_read_complete_while_they_are_written(tmp_path):
    options = transport_options("filesystem://", tmp_path)

    def write() -> None:
        with Connection("filesystem://", transport_options=options) as connection:
            queue = connection.SimpleQueue(QUEUE)
            for number in range(COUNT):
                queue.put({"number": number})

    writer = threading.Thread(target=write)
    numbers = []
    with Connection("filesystem://", transport_options=options) as connection:
        queue = connection.SimpleQueue(QUEUE)
        writer.start()
        while len(numbers) < COUNT:
            try:
                numbers.append(queue.get_nowait().payload["number"])
            except Empty:
                assert writer.is_alive() or len(numbers) == COUNT or any(tmp_path.rglob("*.msg"))
    writer.join()

    assert sorted(numbers) == list(range(COUNT))

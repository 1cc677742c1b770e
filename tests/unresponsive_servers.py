"""Servers that never complete a response."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

# Connections that fill the accept queue on Linux; the next one waits until its timeout.
_QUEUE = 4


@contextmanager
def silent_server() -> Iterator[int]:
    """Accepts connections and sends nothing; yields the port."""
    with _serving(lambda _client, stopping: stopping.wait()) as port:
        yield port


@contextmanager
def slow_server() -> Iterator[int]:
    """Sends one byte a second and never completes the headers; yields the port."""

    def respond(client: socket.socket, stopping: threading.Event) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Padding: ")
        while not stopping.wait(1):
            client.sendall(b".")

    with _serving(respond) as port:
        yield port


@contextmanager
def unreachable_server() -> Iterator[int]:
    """A server that leaves connections pending; yields its port."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _place in range(_QUEUE):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
        yield port


@contextmanager
def _serving(respond: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    stopping = threading.Event()

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            respond(client, stopping)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _address = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

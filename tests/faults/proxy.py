"""A proxy in front of the object store that can fail, hang, or reset connections."""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards bytes to a local port; a change of `mode` closes open connections.

    `through` forwards, `error` returns 500, `hang` never responds, `down` resets.
    """

    def __init__(self, target: int) -> None:
        self.url = ""
        self.mode = "through"
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def switch(self, mode: str) -> None:
        with self._lock:
            self.mode = mode
            changed, self._changed = self._changed, threading.Event()
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        changed.set()

    def serve(self, client: socket.socket) -> None:
        with self._lock:
            mode, changed = self.mode, self._changed
            self._open.add(client)
        try:
            if mode == "through":
                self._forward(client)
            elif mode == "error":
                _refuse(client)
            elif mode == "hang":
                changed.wait(300)
            else:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            with self._lock:
                self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._open.add(server)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()
            with self._lock:
                self._open.discard(server)


def _refuse(client: socket.socket) -> None:
    """Responds with 500 once the request is complete."""
    request = b""
    while b"\r\n\r\n" not in request:
        if not (more := client.recv(65536)):
            return
        request += more
    head, _end, body = request.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    if b"100-continue" not in head.lower():
        while len(body) < length and (more := client.recv(65536)):
            body += more
    client.sendall(_REFUSAL)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Yields a proxy of this port that listens on another port."""
    served = Proxy(target)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                served.serve(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            served.switch("down")
            server.shutdown()
            thread.join()

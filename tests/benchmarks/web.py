"""Synclog under gunicorn, and a client that takes little CPU time, so that the figures are those of the server."""

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.test import Client

from tests.memory import children_of
from tests.servers.base import Server, free_ports

ROOT = Path(__file__).resolve().parents[2]
# Prefixes of the environment variables that the settings read.
VARIABLE_PREFIXES = ("SYNCLOG_", "DATABASE_URL", "AWS_", "BENCHMARK_")
_BLOCK_BYTES = 1024 * 1024


class Web(Server):
    """gunicorn as `make run` starts it, with the database and the payload store of this process."""

    program = "web"

    def __init__(self, *, workers: int = 2, environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._workers = workers
        self._environment = {
            name: value for name, value in os.environ.items() if name.startswith(VARIABLE_PREFIXES)
        } | dict(environment or {})

    def prepare(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        # WhiteNoise warns of a missing folder.
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [
            *("env", *(f"{name}={value}" for name, value in self._environment.items())),
            *(sys.executable, "-m", "gunicorn", "tests.benchmarks.site.wsgi", "--preload"),
            *(f"--bind=127.0.0.1:{self.port}", f"--workers={self._workers}", "--threads=4"),
            *(f"--chdir={ROOT}", "--no-control-socket"),
        ]

    def ping(self) -> None:
        requests.get(f"{self.url}/livez", timeout=5).raise_for_status()

    def close(self) -> None:
        # After SIGKILL its workers would live on for a moment.
        self.stop()
        super().close()

    def worker_pids(self) -> list[int]:
        assert self.process is not None
        return children_of(self.process.pid)


def request_bytes(path: str, headers: Mapping[str, str], *, method: str = "GET") -> bytes:
    """Head of an HTTP request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def session_headers(user: Any) -> dict[str, str]:
    """Headers of a browser whose user is logged in."""
    client = Client()
    client.force_login(user)
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"}


def token_headers(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def requests_per_second(port: int, request: bytes, *, seconds: float, connections: int = 8) -> float:
    """Responses per second over several connections, each of which sends the next request after the response."""
    counts = [0] * connections
    until = time.perf_counter() + seconds

    def send(number: int) -> None:
        with closing(Connection(port)) as connection:
            while time.perf_counter() < until:
                status, _body = connection.send(request)
                assert status == 200, status
                counts[number] += 1

    threads = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(counts), "A connection received no response."
    return sum(counts) / (time.perf_counter() - before)


class Connection:
    """A persistent connection. It reads responses with a Content-Length."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._buffer = memoryview(bytearray(_BLOCK_BYTES))

    def close(self) -> None:
        self._socket.close()

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the response."""
        status, length, body = self._read_head(request)
        while len(body) < length:
            data = self._socket.recv(_BLOCK_BYTES)
            assert data, "The server closed the connection within a response."
            body += data
        return status, body

    def download(self, request: bytes) -> int:
        """Number of bytes of the response body, which are discarded as they arrive."""
        status, length, body = self._read_head(request)
        assert status == 200, status
        received = len(body)
        while received < length:
            count = self._socket.recv_into(self._buffer)
            assert count, "The server closed the connection within a response."
            received += count
        return received

    def _read_head(self, request: bytes) -> tuple[int, int, bytes]:
        """Status, length of the body, and the part of it that arrived with the head."""
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            received = self._socket.recv(65536)
            assert received, "The server closed the connection before it responded."
            data += received
        head = data[:end].lower()
        length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        return int(head[9:12]), int(length), data[end + 4 :]

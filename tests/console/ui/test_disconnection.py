"""The server notices that a browser has cancelled its request."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.test import RequestFactory

from apps.console.ui.disconnection import is_disconnected

ROOT = Path(__file__).resolve().parents[3]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


@pytest.mark.stack
def test_closed_connection_is_noticed_under_gunicorn(tmp_path) -> None:
    gone = tmp_path / "gone.txt"
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "tests.console.ui.disconnection_app", "--threads=2"),
            f"--bind=127.0.0.1:{port}",
        ],
        cwd=ROOT,
        env={**os.environ, "GONE": str(gone), "DJANGO_SETTINGS_MODULE": "config.settings"},
        stderr=subprocess.DEVNULL,
    )
    try:
        client = _connected(port)
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok")
        wait_for(gone.with_suffix(".waits"))
        assert not gone.exists()
        client.close()
        wait_for(gone)
        assert float(gone.read_text()) < 20
    finally:
        server.terminate()
        server.wait()


def test_other_servers_do_not_tell() -> None:
    assert is_disconnected(RequestFactory().get("/")) is False


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)

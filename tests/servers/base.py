"""Base class of test servers: data folder, process, start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

# Timeout of the first response and of the shutdown, in seconds.
PATIENCE = 60


class ServerDidNotStart(Exception):
    """The server ended or did not respond in time; the message ends with the tail of its output."""


class Server(ABC):
    """A server process that runs within its `with` block, with its data in a temporary folder."""

    program = "server"
    stop_signal = signal.SIGTERM
    # The signal that the kernel sends to the server when the process that started it has died.
    orphan_signal = "KILL"

    def __init__(self, address: str = "127.0.0.1") -> None:
        """`address` is the one that the server listens on."""
        self.address = address
        self.folder = Path(tempfile.mkdtemp(prefix=f"synclog-{self.program}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def prepare(self) -> None:  # noqa: B027 - few servers need it
        """Runs once, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """Returns the program and its arguments."""

    @abstractmethod
    def ping(self) -> None:
        """Raises OSError while the server does not respond."""

    def start(self) -> None:
        """Starts the server and waits for its first response. Raises ServerDidNotStart."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*_die_with_parent(self.orphan_signal), *self.command()],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self.identity(),
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ping()
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise ServerDidNotStart(f"{self.program}: {error}\n{self.output_tail()}") from error
            time.sleep(0.02)

    def identity(self) -> dict[str, Any]:
        """Popen arguments for the user of the process; the current user by default."""
        return {}

    def stop(self) -> None:
        """Stops the server gracefully; its data remains."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kills the server with SIGKILL; its data remains."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Kills the server and removes its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def output_tail(self) -> str:
        output = self.folder / "output"
        return output.read_text(errors="replace")[-2000:] if output.exists() else ""

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Returns different free ports of an address of this machine."""
    sockets = [socket.socket() for _port in range(count)]
    try:
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _die_with_parent(number: str) -> list[str]:
    """Command prefix that kills the program when this process dies, where the system supports it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number, "--"] if setpriv else []

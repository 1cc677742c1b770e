"""What all servers have in common: a folder, a process, a beginning and an end."""

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

# Seconds that a server may take to answer for the first time, and to end.
PATIENCE = 60


class ServerDidNotStart(Exception):
    """The server ended or did not answer in time; the message ends with its last words."""


class Server(ABC):
    """A process with its data in a temporary folder, from `with` to the end of the block."""

    program = "server"
    stop_signal = signal.SIGTERM
    # The signal that the kernel sends to the server when the process that started it has died.
    orphan_signal = "KILL"

    def __init__(self) -> None:
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
        """Whatever comes once, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program with its arguments."""

    @abstractmethod
    def ping(self) -> None:
        """Raise OSError while the server does not answer."""

    def start(self) -> None:
        """Start the server and wait until it answers. Raises ServerDidNotStart."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*_dies_with_us(self.orphan_signal), *self.command()],
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
                    raise ServerDidNotStart(f"{self.program}: {error}\n{self.last_words()}") from error
            time.sleep(0.02)

    def identity(self) -> dict[str, Any]:
        """The user that the process runs as, in the words of Popen; ours by default."""
        return {}

    def stop(self) -> None:
        """End the server in order and keep its data."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server by SIGKILL and keep its data."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self) -> str:
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


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listened on a moment ago."""
    sockets = [socket.socket() for _port in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _dies_with_us(number: str) -> list[str]:
    """The start of a command line that lets the program die with this process, where the system can do it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number, "--"] if setpriv else []

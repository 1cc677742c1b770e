"""Synclog's production processes, started for a test."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import requests

from tests.migrated_database import copy_postgresql, copy_sqlite
from tests.servers.base import free_ports

ROOT = Path(__file__).resolve().parent.parent
# Timeout of commands, requests and waits, in seconds.
PATIENCE = 60


def revision_before_migration() -> str:
    """Returns the commit before the newest migration of runs, from which upgrades are tested."""
    command = ["git", "log", "-1", "--diff-filter=A", "--format=%H^", "--", "apps/runs/migrations/0*.py"]
    return subprocess.check_output(command, cwd=ROOT, text=True).strip()


class Daemon:
    """A process that the command server has forked, with the methods of a Popen that the tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Returns None while the process runs, and 0 afterwards: only its parent learns the exit code."""
        return 0 if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return 0

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._descriptor], [], [], timeout)[0])

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)


class CommandServer:
    """A process of tests/command_server.py."""

    def __init__(self, environment: Mapping[str, str], *modules: str) -> None:
        """It imports `modules` before all others."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.command_server", *modules],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def request(self, *fields: str) -> str:
        """Sends a request and returns the response."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(fields), file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()


class Stack:
    """Web, worker, housekeeping and scheduler with one environment; the data directory is temporary.

    An empty environment selects the embedded mode: SQLite, files, and a broker in a folder.
    """

    def __init__(self, environment: Mapping[str, str], *, address: str = "127.0.0.1") -> None:
        """`address` is that of the web process."""
        self.address = address
        self._folder = tempfile.TemporaryDirectory(prefix="synclog-stack-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        [self.port] = free_ports(1)
        self.url = f"http://{address}:{self.port}"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "SYNCLOG_DATA_DIR": str(self.folder / "data"),
            **environment,
        }
        self._processes: dict[str, Daemon | subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._commands = CommandServer(self.environment)
        try:
            self.prepare()
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + 10
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
        self._commands.close()
        self._folder.cleanup()

    def prepare(self) -> None:
        """Runs before the processes start. Without static files only the API works."""
        # WhiteNoise warns of a missing folder.
        (self.folder / "data" / "static").mkdir(parents=True)
        if "DATABASE_URL" not in self.environment:
            copy_sqlite(self.folder / "data" / "synclog.sqlite3")
        elif "DATABASE_URL" in os.environ:
            copy_postgresql(self.environment["DATABASE_URL"])
        else:
            self.manage("migrate", "--verbosity=0")

    def start_all(self) -> None:
        for name, command in self.commands().items():
            self.start(name, *command)
        wait_until(self._is_ready, self.output_tail)

    def commands(self) -> dict[str, tuple[str, ...]]:
        """Modules of the stack's processes by name, each with its arguments."""
        celery = ("celery", "-A", "config")
        web = ("gunicorn", "config.wsgi", "--preload", f"--bind={self.address}:{self.port}")
        return {
            "web": (*web, "--workers=1", "--threads=4"),
            "worker": (*celery, "worker", "-Q", "runs", "-c", "2", "-n", "runs@%h"),
            "housekeeping": (*celery, "worker", "-Q", "housekeeping", "-P", "solo", "-n", "hk@%h"),
            "beat": (*celery, "beat", "-s", str(self.folder / "beat")),
        }

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Starts `python -m module argument …` in a fork of the command server, which has loaded most of it."""
        self._fork(self._commands, name, module, *arguments)

    def _fork(self, server: CommandServer, name: str, module: str, *arguments: str) -> None:
        output = str(self.folder / f"{name}.log")
        self._processes[name] = Daemon(int(server.request(output, output, module, *arguments)))

    def spawn(self, name: str, module: str, *arguments: str, root: Path = ROOT, **environment: str) -> None:
        """Starts `python -m module argument …` as a new process, with the code in `root`."""
        with (self.folder / f"{name}.log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=root,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def process(self, name: str) -> Daemon | subprocess.Popen[bytes]:
        """Returns the process of this name; its children are in its process group."""
        return self._processes[name]

    def manage(self, *arguments: str) -> str:
        """Runs a management command, which must succeed, and returns its output."""
        stdout, stderr = self.folder / "command.out", self.folder / "command.err"
        for path in (stdout, stderr):
            path.write_text("")
        exit_code = self._commands.request(str(stdout), str(stderr), "", *arguments)
        assert exit_code == "0\n", f"{arguments}: {exit_code}{stdout.read_text()}{stderr.read_text()}"
        return stdout.read_text()

    def shell(self, code: str) -> str:
        """Runs Python code within the project and returns its output."""
        return self.manage("shell", "--no-imports", "-c", code).strip()

    def create_staff(self, username: str, *, is_superuser: bool = True, password: str | None = None) -> None:
        """Creates a staff user; without a password, whose hash takes long, the user can have tokens only."""
        self.shell(
            "from django.contrib.auth.models import User; "
            f"User.objects.create_user({username!r}, password={password!r}, is_staff=True, "
            f"is_superuser={is_superuser})"
        )

    def create_token(self, username: str, *arguments: str) -> str:
        return self.manage("create_token", username, "--name", "test", *arguments).strip()

    def get(self, path: str, token: str = "", **parameters: Any) -> requests.Response:
        """Sends a GET request; `path` is relative to /api/v1/, or a full URL."""
        url = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(url, headers=headers, timeout=PATIENCE, **parameters)

    def output_tail(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in self.folder.glob("*.log")
        )

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=5).ok
        except requests.RequestException:
            return False


def wait_until[T](
    happened: Callable[[], T], explain: Callable[[], str] = lambda: "", patience: float = PATIENCE
) -> T:
    """Waits for a true value and returns it; fails with the text of `explain` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (value := happened()):
        assert time.monotonic() < deadline, f"Condition not met within {patience} s.\n{explain()}"
        time.sleep(0.1)
    return value

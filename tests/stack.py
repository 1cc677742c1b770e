"""All of Synclog's processes as they run in production, started for a test and talked to from outside."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import requests

from tests.servers.base import free_ports

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60  # seconds that anything may take


class Stack:
    """Web, worker, housekeeping and scheduler with one environment; the data directory is temporary.

    With an empty environment it is the embedded mode: SQLite, files, and a broker in a folder.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="synclog-stack-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "SYNCLOG_DATA_DIR": str(self.folder / "data"),
            **environment,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.manage("migrate", "--verbosity=0")
            self.manage("collectstatic", "--no-input", "--verbosity=0")
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
        self._folder.cleanup()

    def start_all(self) -> None:
        for name, command in self.commands().items():
            self.start(name, *command)
        wait_until(self._answers, self.last_words)

    def commands(self) -> dict[str, tuple[str, ...]]:
        """What makes up the stack, by name."""
        python = sys.executable
        celery = (python, "-m", "celery", "-A", "config")
        web = (python, "-m", "gunicorn", "config.wsgi", "--preload", f"--bind=127.0.0.1:{self.port}")
        return {
            "web": (*web, "--workers=1", "--threads=4"),
            "worker": (*celery, "worker", "-Q", "runs", "-c", "2", "-n", "runs@%h"),
            "housekeeping": (*celery, "worker", "-Q", "housekeeping", "-P", "solo", "-n", "hk@%h"),
            "beat": (*celery, "beat", "-s", str(self.folder / "beat")),
        }

    def start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process that was started by this name, to be signalled; what it started belongs to its group."""
        return self._processes[name]

    def manage(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """What a management command prints; with `check` it must succeed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE * 2,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, code: str) -> str:
        """Runs Python within the project, to move what only time moves; what it prints."""
        return self.manage("shell", "--no-imports", "-c", code).strip()

    def create_staff(self, username: str, *, is_superuser: bool = True) -> str:
        """A member of staff; the password."""
        password = secrets.token_urlsafe(16)
        self.shell(
            "from django.contrib.auth.models import User; "
            f"User.objects.create_user({username!r}, password={password!r}, is_staff=True, "
            f"is_superuser={is_superuser})"
        )
        return password

    def create_token(self, username: str, *arguments: str) -> str:
        return self.manage("create_token", username, "--name", "test", *arguments).strip()

    def get(self, path: str, token: str = "", **parameters: Any) -> requests.Response:
        """GET of the API; `path` below /api/v1/, or a whole URL."""
        url = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(url, headers=headers, timeout=PATIENCE, **parameters)

    def last_words(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in self.folder.glob("*.log")
        )

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=5).ok
        except requests.ConnectionError:
            return False


def wait_until[T](
    happened: Callable[[], T], explain: Callable[[], str] = lambda: "", patience: float = PATIENCE
) -> T:
    """Waits for a true value and returns it; fails with what `explain` says after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (value := happened()):
        assert time.monotonic() < deadline, f"It did not happen within {patience} s.\n{explain()}"
        time.sleep(0.1)
    return value

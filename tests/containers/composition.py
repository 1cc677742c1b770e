"""Docker, and the composition of compose.yaml."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.stack import PATIENCE, ROOT, wait_until

FILES = (ROOT / "compose.yaml", ROOT / "tests" / "containers" / "compose.yaml")
# Seconds until a container is healthy.
HEALTHY_WITHIN = 120


def docker(*arguments: str, **options: Any) -> str:
    return execute(["docker", *arguments], **options)


def execute(command: Sequence[str], *, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Runs a command, which must succeed, and returns its output."""
    ended = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}"
    return ended.stdout.strip()


def has_image(name: str) -> bool:
    return bool(docker("image", "ls", "--quiet", name))


def image_mb(name: str) -> float:
    return int(docker("image", "inspect", "--format={{.Size}}", name)) / 1e6


class Composition:
    """The services of compose.yaml, and the external systems of tests/containers/compose.yaml."""

    def __init__(self, image: str, secrets: Path, port: int) -> None:
        self.image = image
        self.url = f"http://127.0.0.1:{port}"
        self.token = ""
        self._project = f"synclog-{os.getpid()}"
        self._variables = {"PORT": str(port), "SYNCLOG_SECRETS": str(secrets)}

    def compose(self, *arguments: str) -> str:
        files = [word for path in FILES for word in ("-f", str(path))]
        command = ["docker", "compose", *files, "-p", self._project, *arguments]
        return execute(command, environment={**self._variables, "SYNCLOG_IMAGE": self.image})

    def services(self) -> list[str]:
        """Names of the services with a health check."""
        return sorted(set(self.compose("config", "--services").split()) - {"prepare"})

    def container(self, service: str) -> str:
        return f"{self._project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        [found] = json.loads(docker("inspect", self.container(service)))
        return dict(found)

    def run_in(self, service: str, *command: str, stdin: str = "", **variables: str) -> str:
        """Runs a command in the container of the service and returns its output."""
        options = [f"--env={name}={value}" for name, value in variables.items()]
        return docker("exec", "-i", *options, self.container(service), *command, stdin=stdin)

    def manage(self, *arguments: str, stdin: str = "", **variables: str) -> str:
        return self.run_in("web", "python", "manage.py", *arguments, stdin=stdin, **variables)

    def wait_until_healthy(self) -> None:
        for service in self.services():
            wait_until(
                lambda name=service: self.inspect(name)["State"]["Health"]["Status"] == "healthy",
                lambda name=service: f"{name} is unhealthy.\n{self.log(name)}",
                HEALTHY_WITHIN,
            )

    def log(self, service: str) -> str:
        return docker("logs", "--tail=40", self.container(service))

    def memory_mib(self, service: str) -> float:
        """Memory of the service as Docker counts it for the limit: without inactive page cache."""
        used = docker("stats", "--no-stream", "--format={{.MemUsage}}", self.container(service)).split()[0]
        factors = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
        return float(used[:-3]) * factors[used[-3:]]

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """Sends a GET request with the token; `path` is relative to /api/v1/, or a full URL."""
        url = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(url, headers=headers, params=parameters, timeout=PATIENCE)

    def post(self, path: str, body: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.post(f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=PATIENCE)

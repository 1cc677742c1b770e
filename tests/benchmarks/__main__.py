"""Measures all figures, or the named ones, and prints one line of JSON each: `python -m tests.benchmarks [name …]`.

Progress goes to stderr, and at the end a table of all figures with their goals. The exit code is 1 if a figure could
not be measured.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.goals import table
from tests.environment import clear_environment
from tests.servers import PostgresServer, S3Server, ServerDidNotStart

ROOT = Path(__file__).resolve().parents[2]
# Maximum seconds per benchmark and database.
TIMEOUT_SECONDS = 600


class Databases:
    """A migrated, empty database for each benchmark: a copy of a template."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server
        self._urls = {
            "sqlite": f"sqlite:///{folder / 'template.sqlite3'}",
            "postgresql": server.create_database("template_synclog"),
        }
        for url in self._urls.values():
            environment = {"DATABASE_URL": url, "SYNCLOG_DATA_DIR": str(folder / "template")}
            run("manage.py", "migrate", "--verbosity=0", environment=environment)

    def measure(self, name: str, database: str, *, needs_s3: bool) -> str:
        """Output of the benchmark, a line per figure. Raises CalledProcessError, TimeoutExpired."""
        data = self._folder / f"{name}-{database}"
        data.mkdir()
        if database == "sqlite":
            shutil.copy(self._folder / "template.sqlite3", data / "synclog.sqlite3")
            url = f"sqlite:///{data / 'synclog.sqlite3'}"
        else:
            url = self._server.create_database(name, template="template_synclog")
        environment = {"DATABASE_URL": url, "SYNCLOG_DATA_DIR": str(data), "BENCHMARK_DATABASE": database}
        try:
            with payload_store(needs_s3=needs_s3) as store:
                return run("-m", "tests.benchmarks.one", name, environment=environment | store)
        finally:
            shutil.rmtree(data, ignore_errors=True)
            if database == "postgresql":
                self._server.drop_database(name)


@contextmanager
def payload_store(*, needs_s3: bool) -> Iterator[dict[str, str]]:
    """Environment of the payload store: an empty bucket of a new S3 server, or files."""
    if not needs_s3:
        yield {}
        return
    with S3Server() as server:
        yield server.env | {"AWS_STORAGE_BUCKET_NAME": server.create_bucket()}


def main(names: list[str]) -> int:
    figures: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="synclog-bench-") as folder:
        known = json.loads(
            run("-m", "tests.benchmarks.one", environment={"SYNCLOG_DATA_DIR": f"{folder}/names"})
        )
        measured_by = {figure: name for name, one in known.items() for figure in one["figures"]}
        if unknown := [name for name in names if name not in measured_by]:
            print(
                f"Unknown figure {unknown[0]!r}; use one of {', '.join(sorted(measured_by))}", file=sys.stderr
            )
            return 2
        with PostgresServer() as server:
            databases = Databases(Path(folder), server)
            for name in dict.fromkeys(measured_by[name] for name in names) or known:
                for database in known[name]["databases"]:
                    before = time.monotonic()
                    try:
                        lines = databases.measure(name, database, needs_s3=database in known[name]["with_s3"])
                        print(lines.strip(), flush=True)
                        figures += map(json.loads, lines.splitlines())
                    except (subprocess.SubprocessError, ServerDidNotStart) as error:
                        print(f"{name} on {database} could not be measured: {error}", file=sys.stderr)
                        failures.append((name, database))
                    print(f"{name} on {database} took {time.monotonic() - before:.1f} s", file=sys.stderr)
    print(table(figures, failures), file=sys.stderr)
    return 1 if failures else 0


def run(*arguments: str, environment: dict[str, str]) -> str:
    """Standard output of the program."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
    ).stdout


if __name__ == "__main__":
    clear_environment()
    sys.exit(main(sys.argv[1:]))

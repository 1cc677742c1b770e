"""The real stack with all that can be broken in it: two workers, two schedulers, servers, and the witness."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import requests
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

from tests.faults.proxy import Proxy, proxy
from tests.faults.witness import Witness, witness
from tests.servers import PostgresServer, RedisServer, S3Server
from tests.stack import Stack

# Seconds that a worker which is told to stop gives its runs: more than a steady one takes.
GRACE = 45
WORKERS = ("worker", "worker-ahead")
SCRIPT = """
def transform(records):
    for record in records:
        log("record %d" % record["n"])
    return records
"""


def description(url: str) -> str:
    """List services, as `load_services` takes them: JSON is YAML too."""

    def service(record_count: int, **more: object) -> dict[str, object]:
        paging = {"type": "page", "page_param": "page"}
        source = {"connection": "witness", "path": f"/source/{record_count}", "pagination": paging}
        destination = {"connection": "witness", "method": "POST", "path": "/destination", "batch_size": 1}
        return {"source": source, "script": SCRIPT, "destination": destination, **more}

    # Retries wait for nobody: under this load some other run of service always goes on.
    again = {"retry_limit": 1, "overlap": "allow"}
    services = {
        "steady": service(40),
        "retried": service(40, **again),
        "long": service(5000, **again),
        "every-minute": service(10, schedule="* * * * *"),
    }
    connections = {"witness": {"kind": "http", "base_url": url}}
    return json.dumps({"connections": connections, "services": services})


class Database(PostgresServer):
    """Its commits are on disk before they are acknowledged, as the promises demand of a database."""

    def command(self) -> list[str]:
        return [*super().command(), "-c", "synchronous_commit=on"]

    def stop_at_once(self) -> None:
        """End it without a word to its clients; the next start recovers."""
        self._end(signal.SIGQUIT)


class BrokenStack(Stack):
    """Two workers and two schedulers; what has died is started again.

    One of the workers, and the housekeeping, live a day ahead.
    """

    def commands(self) -> dict[str, tuple[str, ...]]:
        commands = super().commands()
        python = sys.executable
        options = ("-A", "config", "worker", "-Q", "runs", "-c", "3")
        _python, _module, _celery, *housekeeping = commands["housekeeping"]
        return {
            **commands,
            "worker": (python, "-m", "celery", *options, "-n", "runs@%h"),
            "worker-ahead": (python, "-m", "tests.faults.a_day_ahead", *options, "-n", "ahead@%h"),
            "housekeeping": (python, "-m", "tests.faults.a_day_ahead", *housekeeping),
            "beat-2": (*commands["beat"][:-1], str(self.folder / "beat-2")),
        }

    def kill(self, name: str) -> None:
        """SIGKILL for the process itself; what it started is left to its fate."""
        self.process(name).kill()
        self.process(name).wait()

    def replace_dead(self) -> None:
        """What systemd or Docker does: a process that has ended is started again."""
        for name, command in self.commands().items():
            if self.process(name).poll() is not None:
                self.start(name, *command)


class World:
    """What a fault can reach, and what is asked of it."""

    def __init__(
        self, stack: BrokenStack, database: Database, redis: RedisServer, store: Proxy, seen: Witness
    ) -> None:
        self.stack = stack
        self.database = database
        self.redis = redis
        self.store = store
        self.witness = seen
        stack.create_staff("ada")
        self._headers = {"Authorization": f"Bearer {stack.create_token('ada')}"}

    def start_run(self, service: str, *store: str) -> int | None:
        """The number of a new run, or None where nobody answers."""
        answer = self.post(f"services/{service}/runs/", {"store": store})
        return answer.json()["id"] if answer is not None and answer.status_code == 202 else None

    def post(self, path: str, body: dict[str, Any]) -> requests.Response | None:
        with suppress(requests.ConnectionError, requests.Timeout):
            url = f"{self.stack.url}/api/v1/{path}"
            return requests.post(url, json=body, headers=self._headers, timeout=15)
        return None

    def query(self, statement: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows; none where the database is away."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.database.url, connect_timeout=5, autocommit=True) as connection,
        ):
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
        return []

    def send(self, task: str, *, queue: str, **keywords: Any) -> bool:
        """Put a message into a queue; False where the broker is away."""
        with Celery(broker=self.redis.url, set_as_current=False) as client:
            try:
                with client.connection_for_write(connect_timeout=2) as connection:
                    client.send_task(task, kwargs=keywords, queue=queue, connection=connection, retry=False)
            except (OperationalError, OSError):
                return False
        return True

    def redis_client(self) -> Redis:
        return Redis.from_url(self.redis.url, socket_timeout=5)

    def worker_of(self, run_id: int) -> int | None:
        """The process that executes the run, if it lives on."""
        rows = self.query("SELECT worker FROM runs_run WHERE id = %s AND status = 'running'", run_id)
        return process_of(rows[0][0]) if rows and is_alive(rows[0][0]) else None


def process_of(worker: str) -> int:
    """The process in a worker's name, `host:process`."""
    return int(worker.rpartition(":")[2])


def is_alive(worker: str) -> bool:
    """Whether the process goes on; what has ended and waits to be buried does not."""
    with suppress(OSError):
        state = Path(f"/proc/{process_of(worker)}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def children_of(process: int) -> list[int]:
    """What was started by any of the process's threads."""
    with suppress(OSError):
        threads = Path(f"/proc/{process}/task").glob("*/children")
        return [int(word) for children in threads for word in children.read_text().split()]
    return []


def signal_process(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def world(pace: float, **environment: str) -> Iterator[World]:
    """Everything up and running; a push takes `pace` seconds."""
    with ExitStack() as opened:
        database, redis, s3 = (
            opened.enter_context(server) for server in (Database(), RedisServer(), S3Server())
        )
        store = opened.enter_context(proxy(s3.ports["s3"][0]))
        seen = opened.enter_context(witness(pace))
        stack = BrokenStack(
            {
                **database.env,
                **redis.env,
                **s3.env,
                "AWS_S3_ENDPOINT_URL": store.url,
                "AWS_STORAGE_BUCKET_NAME": s3.create_bucket(),
                "SYNCLOG_GRACE_SECONDS": str(GRACE),
                **environment,
            }
        )
        opened.enter_context(stack)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as services:
            services.write(description(seen.url))
            services.flush()
            stack.manage("load_services", services.name)
        yield World(stack, database, redis, store, seen)

"""The real stack under fault injection: two workers, two schedulers, servers, and the witness."""

import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import requests
from celery import Celery
from kombu.exceptions import OperationalError

from tests.faults.proxy import Proxy, proxy
from tests.faults.witness import Witness, witness
from tests.servers import PostgresServer, RabbitServer, RedisServer, S3Server, broker_server
from tests.stack import CommandServer, Stack

# Grace period of a worker in seconds: longer than a run of the service `steady`.
GRACE = 45
WORKERS = ("worker", "worker-ahead")
CLOCK_AHEAD = "tests.faults.clock_ahead"
SCRIPT = """
def transform(records):
    for record in records:
        log("record %d" % record["n"])
    return [record for record in records if record["n"] % 10 != 3]
"""


def service_definitions(url: str) -> str:
    """Returns the services as input of `load_services`; JSON is valid YAML."""

    def service(record_count: int, **more: object) -> dict[str, object]:
        paging = {"type": "page", "page_param": "page"}
        source = {
            "connection": "witness",
            "path": f"/source/{record_count}",
            "pagination": paging,
            "id_field": "n",
        }
        destination = {"connection": "witness", "method": "POST", "path": "/destination", "batch_size": 1}
        return {"source": source, "script": SCRIPT, "destination": destination, **more}

    # "allow" lets retries start at once: under this load another run of the service is always active.
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
    """PostgreSQL that acknowledges a commit once it is on disk, as Synclog requires."""

    def command(self) -> list[str]:
        return [*super().command(), "-c", "synchronous_commit=on"]

    def stop_immediately(self) -> None:
        """Ends the server without notifying its clients; the next start recovers."""
        self._end(signal.SIGQUIT)


class ReplicatedStack(Stack):
    """A stack of two workers and two schedulers that can replace dead processes.

    The clocks of one worker and of the housekeeping worker are a day ahead.
    """

    def commands(self) -> dict[str, tuple[str, ...]]:
        commands = super().commands()
        options = ("-A", "config", "worker", "-Q", "runs", "-c", "3")
        _celery, *housekeeping = commands["housekeeping"]
        return {
            **commands,
            "worker": ("celery", *options, "-n", "runs@%h"),
            "worker-ahead": (CLOCK_AHEAD, *options, "-n", "ahead@%h"),
            "housekeeping": (CLOCK_AHEAD, *housekeeping),
            "beat-2": (*commands["beat"][:-1], str(self.folder / "beat-2")),
        }

    def prepare(self) -> None:
        self._clock_ahead = CommandServer(self.environment, CLOCK_AHEAD)
        super().prepare()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._clock_ahead.close()

    def start(self, name: str, module: str, *arguments: str) -> None:
        if module == CLOCK_AHEAD:
            self._fork(self._clock_ahead, name, "celery", *arguments)
        else:
            super().start(name, module, *arguments)

    def kill(self, name: str) -> None:
        """Kills only the process itself with SIGKILL, not its children."""
        self.process(name).kill()
        self.process(name).wait()

    def replace_dead(self) -> None:
        """Restarts ended processes, as systemd or Docker would."""
        for name, command in self.commands().items():
            if self.process(name).poll() is not None:
                self.start(name, *command)


class World:
    """The stack, its servers and the witness, with access to the API, the database and the broker."""

    def __init__(
        self,
        stack: ReplicatedStack,
        database: Database,
        broker: RabbitServer | RedisServer,
        seen: Witness,
        store: Proxy | None = None,
    ) -> None:
        self.stack = stack
        self.database = database
        self.broker = broker
        self.store = store
        self.witness = seen
        # Threads share it; the lock lets only one of them replace a closed connection.
        self._connection: psycopg.Connection | None = None
        self._connection_lock = threading.Lock()
        stack.create_staff("ada")
        self._headers = {"Authorization": f"Bearer {stack.create_token('ada')}"}

    def start_run(self, service: str, *store: str) -> int | None:
        """Starts a run and returns its number, or None without a response."""
        response = self.post(f"services/{service}/runs/", {"store": store})
        return response.json()["id"] if response is not None and response.status_code == 202 else None

    def post(self, path: str, body: dict[str, Any]) -> requests.Response | None:
        with suppress(requests.RequestException):
            url = f"{self.stack.url}/api/v1/{path}"
            return requests.post(url, json=body, headers=self._headers, timeout=15)
        return None

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Returns the response, empty if there is none."""
        with suppress(requests.RequestException):
            url = f"{self.stack.url}/api/v1/{path}"
            response = requests.get(url, params=parameters, headers=self._headers, timeout=15)
            return response.json() if response.ok else {}
        return {}

    def query(self, statement: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Returns the rows; none while the database is down."""
        # The second attempt is for a connection that was open when the database stopped.
        for _attempt in range(2):
            with suppress(psycopg.OperationalError):
                cursor = self._open_connection().execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        return []

    def _open_connection(self) -> psycopg.Connection:
        with self._connection_lock:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self.database.url, connect_timeout=5, autocommit=True)
            return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def send(self, task: str, *, queue: str, **keywords: Any) -> bool:
        """Sends a message to a queue; returns False while the broker is down."""
        with Celery(broker=self.broker.url, set_as_current=False) as client:
            try:
                with client.connection_for_write(connect_timeout=2) as connection:
                    client.send_task(task, kwargs=keywords, queue=queue, connection=connection, retry=False)
            except (OperationalError, OSError):
                return False
        return True

    def worker_of(self, run_id: int) -> int | None:
        """Returns the process that executes the run if it is alive."""
        rows = self.query("SELECT worker FROM runs_run WHERE id = %s AND status = 'running'", run_id)
        return process_of(rows[0][0]) if rows and is_alive(rows[0][0]) else None


def process_of(worker: str) -> int:
    """Returns the process ID in a worker's name, `host:process`."""
    return int(worker.rpartition(":")[2])


def is_alive(worker: str) -> bool:
    """Whether the process runs; a zombie does not."""
    with suppress(OSError):
        state = Path(f"/proc/{process_of(worker)}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def children_of(process: int) -> list[int]:
    """Returns the child processes of all threads of the process."""
    with suppress(OSError):
        threads = Path(f"/proc/{process}/task").glob("*/children")
        return [int(word) for children in threads for word in children.read_text().split()]
    return []


def signal_process(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def open_world(pace: float, **environment: str) -> Iterator[World]:
    """Starts everything; a push takes `pace` seconds."""
    with ExitStack() as opened:
        database, broker, s3 = (
            opened.enter_context(server) for server in (Database(), broker_server(), S3Server())
        )
        store = opened.enter_context(proxy(s3.ports["s3"][0]))
        seen = opened.enter_context(witness(pace))
        stack = ReplicatedStack(
            {
                **database.env,
                **broker.env,
                **s3.env,
                "AWS_S3_ENDPOINT_URL": store.url,
                "AWS_STORAGE_BUCKET_NAME": s3.create_bucket(),
                "SYNCLOG_GRACE_SECONDS": str(GRACE),
                **environment,
            }
        )
        opened.enter_context(stack)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as services:
            services.write(service_definitions(seen.url))
            services.flush()
            stack.manage("load_services", services.name)
        world = World(stack, database, broker, seen, store)
        opened.callback(world.close)
        yield world

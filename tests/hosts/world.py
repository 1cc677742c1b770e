"""An installation on several hosts: web, two workers, housekeeping; database, broker and bucket on another one."""

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.faults.witness import witness
from tests.faults.world import CLOCK_AHEAD, GRACE, Database, ReplicatedStack, World, service_definitions
from tests.hosts.network import GOOD, Network, Quality
from tests.servers import RedisServer, S3Server
from tests.stack import ROOT, revision_before_migration

# The partner host has the users, and the source and destination of the services.
PARTNER = "partner"
BACKEND = "backend"
WORKERS = ("worker-1", "worker-2")
HOST_OF = {
    "web": "web",
    **{name: name for name in WORKERS},
    "housekeeping": "housekeeping",
    "beat": "housekeeping",
}
# Records of a run that captures its payloads; it takes a quarter of a minute.
CAPTURED_RECORDS = 150
HOSTS = tuple(dict.fromkeys(HOST_OF.values()))


class RemoteDatabase(Database):
    """PostgreSQL that hosts reach over the network."""

    def prepare(self) -> None:
        super().prepare()
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/24 trust\n")

    def command(self) -> list[str]:
        return [*super().command(), "-c", f"listen_addresses={self.address}"]

    @property
    def env(self) -> dict[str, str]:
        return {"DATABASE_URL": f"postgresql://postgres@{self.address}:5432/postgres"}


class DistributedStack(ReplicatedStack):
    """Starts each process on its host, with the data directory and the clock of the host."""

    def __init__(self, network: Network, environment: dict[str, str], root: Path) -> None:
        """`root` is the folder of the code that the next processes run."""
        super().__init__(environment, address=network["web"].address)
        self.network = network
        self.root = root
        self.hosts = list(HOSTS)
        for host in HOSTS:
            (self.data(host) / "static").mkdir(parents=True)
            self.set_clock(host, 0)

    def data(self, host: str) -> Path:
        return self.folder / host

    def set_clock(self, host: str, seconds_ahead: int) -> None:
        clock = self.folder / f"{host}.clock"
        clock.with_suffix(".draft").write_text(str(seconds_ahead))
        clock.with_suffix(".draft").replace(clock)

    def commands(self) -> dict[str, tuple[str, ...]]:
        commands = super().commands()
        # Code before an upgrade does not know such clocks.
        celery = (CLOCK_AHEAD if self.root == ROOT else "celery", "-A", "config")
        beat = self.data("housekeeping") / "beat"
        started = {
            "web": commands["web"],
            **dict.fromkeys(WORKERS, (*celery, "worker", "-Q", "runs", "-c", "4", "-n", "runs@%h")),
            "housekeeping": (*celery, "worker", "-Q", "housekeeping", "-P", "solo", "-n", "hk@%h"),
            "beat": (*celery, "beat", "--pidfile=", "-s", str(beat)),
        }
        return {name: command for name, command in started.items() if HOST_OF[name] in self.hosts}

    def start(self, name: str, module: str, *arguments: str) -> None:
        host = HOST_OF[name]
        with self.network[host].inside():
            self.spawn(
                name,
                module,
                *arguments,
                root=self.root,
                SYNCLOG_DATA_DIR=str(self.data(host)),
                CLOCK_FILE=str(self.folder / f"{host}.clock"),
            )

    def manage(self, *arguments: str) -> str:
        """Runs a management command of the code in `root`, and returns its output."""
        command = [sys.executable, "manage.py", *arguments]
        ended = subprocess.run(
            command, cwd=self.root, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return ended.stdout

    def remove(self, host: str) -> None:
        """Removes a host for good: its processes and its data directory."""
        self.hosts.remove(host)
        for name in HOST_OF:
            if HOST_OF[name] == host:
                with suppress(ProcessLookupError):
                    os.killpg(self.process(name).pid, signal.SIGKILL)
                self.process(name).wait()
        shutil.rmtree(self.data(host))


class HostsWorld(World):
    stack: DistributedStack

    @contextmanager
    def quality(self, host: str, quality: Quality, *, to: tuple[str, ...] = ()) -> Iterator[None]:
        """Changes the network between a host and the hosts `to`, by default all others, within the block."""
        self.stack.network.change(host, quality, to=to)
        try:
            yield
        finally:
            self.stack.network.change(host, GOOD, to=to)

    def shows_line(self, run_id: int, message: str) -> bool:
        """Whether the log that the web host serves contains the line."""
        response = self.get(f"runs/{run_id}/log/", q=message)
        return any(line["message"] == message for line in response.get("lines", ()))

    def host_of(self, run_id: int) -> str:
        """Returns the host that executes the run, or "" if none does."""
        rows = self.query("SELECT worker FROM runs_run WHERE id = %s AND status = 'running'", run_id)
        return rows[0][0].partition(":")[0] if rows else ""


@contextmanager
def open_world(pace: float, rng: random.Random, root: Path) -> Iterator[HostsWorld]:
    """Starts everything, Synclog from the folder `root`; a push takes `pace` seconds."""
    with ExitStack() as opened:
        network = opened.enter_context(Network((BACKEND, PARTNER, *HOSTS), rng))
        with network[BACKEND].inside():
            address = network[BACKEND].address
            database, redis, s3 = (
                opened.enter_context(server)
                for server in (RemoteDatabase(address), RedisServer(address), S3Server(address))
            )
            bucket = s3.create_bucket()
        # What this process does from now on, it does on the host of the partner.
        opened.enter_context(network[PARTNER].inside())
        seen = opened.enter_context(witness(pace, network[PARTNER].address))
        stack = DistributedStack(
            network,
            {
                **database.env,
                **redis.env,
                **s3.env,
                "AWS_STORAGE_BUCKET_NAME": bucket,
                "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
                "DJANGO_ALLOWED_HOSTS": network["web"].address,
                "SYNCLOG_GRACE_SECONDS": str(GRACE),
            },
            root,
        )
        opened.enter_context(stack)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as services:
            services.write(_service_definitions(seen.url))
            services.flush()
            stack.manage("load_services", services.name)
        world = HostsWorld(stack, database, redis, seen)
        opened.callback(world.close)
        yield world


def _service_definitions(url: str) -> str:
    definitions = json.loads(service_definitions(url))
    steady = definitions["services"]["steady"]
    captured = {**steady, "schedule": "* * * * *", "capture_on_failure": True}
    captured["source"] = {**steady["source"], "path": f"/source/{CAPTURED_RECORDS}"}
    definitions["services"]["captured"] = captured
    return json.dumps(definitions)


@contextmanager
def previous_code() -> Iterator[Path]:
    """Yields a folder with the code before the newest migration of runs."""
    with tempfile.TemporaryDirectory(prefix="synclog-previous-") as folder:
        code = subprocess.check_output(["git", "archive", revision_before_migration()], cwd=ROOT)
        subprocess.run(["tar", "-x", "-C", folder], input=code, check=True)
        yield Path(folder)

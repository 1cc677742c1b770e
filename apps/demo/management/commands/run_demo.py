from __future__ import annotations

import gc
import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import nullcontext, suppress
from importlib import import_module
from types import FrameType
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from apps.demo.access import Access, grant_access
from apps.demo.preparation import (
    StartError,
    ensure_port_is_free,
    hold_start_lock,
    prepare,
)
from apps.demo.processes import ProcessEndedError, Processes, run_module
from apps.demo.services import (
    cancel_running_runs,
    latest_pulled_payload,
    load_demo_services,
    start_first_runs,
)
from apps.demo.systems import demo_systems
from apps.demo.welcome import welcome
from apps.runs.models import Run

READY_WITHIN = 60
FIRST_RUN_WITHIN = 30
# Most of what the processes load.
SHARED_MODULES = (
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "celery.worker.control",
    "config.folder_broker",
    "config.scheduler",
    "config.wsgi",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
)


class Command(BaseCommand):
    help = (
        "Runs Synclog on this machine: web, worker, scheduler, and four demo services unless SYNCLOG_DEMO is 0. Ctrl-C "
        "stops everything."
    )
    # The data directory may be empty.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            default="127.0.0.1",
            help="address to listen on (%(default)s); it must be in DJANGO_ALLOWED_HOSTS",
        )
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help="port to listen on ($PORT, else 8000)"
        )

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        self.stopping, self.kill_at_once = threading.Event(), threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.ask_to_stop)
        try:
            with hold_start_lock(settings.DATA_DIR / "demo.lock"):
                ensure_port_is_free(host, port)
                self.write_line("Preparing database and static files …")
                prepare()
                access = grant_access(settings.DATA_DIR / "demo-credentials.txt")
                with demo_systems() if settings.DEMO else nullcontext() as urls:
                    if urls:
                        load_demo_services(*urls)
                    self.run(host, port, access)
        except (StartError, ProcessEndedError) as error:
            raise CommandError(str(error)) from None

    def run(self, host: str, port: int, access: Access) -> None:
        """From the start of the first process to the end of the last."""
        processes = Processes(settings.DATA_DIR / "log")
        url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - nothing is bound here
        # For the links in messages; the processes are forks of this one.
        settings.BASE_URL = settings.BASE_URL or url
        try:
            self.write_line("Starting web, worker and scheduler …")
            start_processes(processes, host, port)
            if not self.wait(processes, READY_WITHIN, lambda: is_ready(url)) and not self.stopping.is_set():
                raise StartError(f"{url}/readyz does not respond; see {processes.log_dir}/web.log.")
            run = start_first_runs(access.user) if settings.DEMO else None
            if run and not self.stopping.is_set():
                self.write_line("Waiting for the first run …")
                self.wait(processes, FIRST_RUN_WITHIN, lambda: has_ended(run))
            if not self.stopping.is_set():
                self.write_line(welcome(self.style, url, access, latest_pulled_payload(), processes.log_dir))
            self.wait(processes, None, lambda: False)
            if count := cancel_running_runs(access.user):
                self.write_line(f"Cancelling {count} running run(s); press Ctrl-C again to stop at once.")
        finally:
            # Nobody may read the output any more.
            with suppress(BrokenPipeError):
                self.write_line("Stopping …")
            processes.stop(self.kill_at_once)
        self.write_line("Stopped.")

    def wait(self, processes: Processes, seconds: float | None, condition: Callable[[], bool]) -> bool:
        """Waits for the condition; returns False after the timeout or when the demo is stopped.

        Raises ProcessEndedError if a process ends.
        """
        deadline = time.monotonic() + seconds if seconds is not None else float("inf")
        while not self.stopping.is_set() and time.monotonic() < deadline:
            processes.check()
            if condition():
                return True
            self.stopping.wait(0.2)
        return False

    def ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        """First Ctrl-C: orderly stop; second: immediate stop."""
        if self.stopping.is_set():
            self.kill_at_once.set()
        self.stopping.set()

    def write_line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def start_processes(processes: Processes, host: str, port: int) -> None:
    for module in SHARED_MODULES:
        import_module(module)
    # Connections cannot be shared, and garbage collectors would copy the memory.
    connections.close_all()
    gc.freeze()
    processes.start(
        "web",
        *(run_module, "gunicorn", "config.wsgi", "--bind", f"{host}:{port}"),
        *("--workers", "2", "--threads", "4", "--preload", "--graceful-timeout", "5"),
        *("--access-logfile", "-", "--no-control-socket"),
    )
    celery = (run_module, "celery", "-A", "config")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    processes.start("worker", *celery, "worker", "-Q", "runs", "-c", "4", "-n", "runs@%h", *quiet)
    housekeeping = ("-Q", "housekeeping", "-c", "1", "--pool", "solo", "-n", "housekeeping@%h")
    processes.start("housekeeping", *celery, "worker", *housekeeping, *quiet)
    processes.start("scheduler", *celery, "beat", "--pidfile=")


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def has_ended(run: Run) -> bool:
    run.refresh_from_db(fields=["status"])
    return not run.is_open

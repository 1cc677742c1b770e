"""Starts of `make run`: with and without the demo, again, and with a process that ends."""

import io
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.core.management.color import no_style
from pytest_django import Settings

from apps.demo.access import Access
from apps.demo.management.commands import run_demo
from apps.demo.processes import Processes
from apps.demo.welcome import welcome
from apps.services.models import Connection, Service
from tests.factories import make_user

pytestmark = [
    pytest.mark.django_db,
    # pytest-xdist has threads of its own.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@pytest.fixture
def start(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Starts `make run` in a prepared data directory."""
    settings.DATA_DIR = tmp_path
    for name in ("ensure_port_is_free", "prepare"):
        monkeypatch.setattr(run_demo, name, lambda *_arguments: None)
    monkeypatch.setattr(run_demo.signal, "signal", lambda *_arguments: None)
    return lambda: call_command("run_demo", stdout=io.StringIO())


@pytest.mark.parametrize("is_demo", [False, True])
def test_starts_create_demo_services_only_with_the_demo_and_once(
    is_demo: bool, start: Callable[[], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEMO = is_demo
    started: list[Access] = []
    monkeypatch.setattr(
        run_demo.Command, "run", lambda _command, _host, _port, access: started.append(access)
    )

    start()
    created = [list(model.objects.values_list("pk")) for model in (Service, Connection)]
    start()

    assert [bool(rows) for rows in created] == [is_demo, is_demo]
    assert [list(model.objects.values_list("pk")) for model in (Service, Connection)] == created
    assert [access.user.username for access in started] == ["demo", "demo"]
    assert started[0] == started[1]


def test_start_fails_and_stops_the_others_if_a_process_ends(
    start: Callable[[], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEMO = False
    started: list[Processes] = []

    def start_processes(processes: Processes, _host: str, _port: int) -> None:
        processes.start("web", time.sleep, 600)
        processes.start("scheduler", signal.raise_signal, signal.SIGKILL)
        started.append(processes)

    monkeypatch.setattr(run_demo, "start_processes", start_processes)
    monkeypatch.setattr(run_demo, "is_ready", lambda _url: True)

    with pytest.raises(CommandError, match=r"The scheduler ended by signal 9\."):
        start()

    assert started[0].children[0].process.exitcode == -signal.SIGTERM


def test_welcome_without_demo_names_the_first_steps(settings: Settings, tmp_path: Path) -> None:
    settings.DEMO = False
    access = Access(make_user("demo"), "password", "token")

    text = welcome(no_style(), "http://127.0.0.1:8000", access, None, tmp_path)

    assert "The console shows the first steps: connection, service, run and log." in text

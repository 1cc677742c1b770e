"""`SYNCLOG_DEMO=0 make run`: an empty database, without the systems of the demo."""

import io
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.color import no_style
from pytest_django import Settings

from apps.demo.access import Access
from apps.demo.management.commands import run_demo
from apps.demo.welcome import welcome
from apps.services.models import Connection, Service
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_demo", [False, True])
def test_start_creates_demo_services_only_with_the_demo(
    is_demo: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    settings.DEMO, settings.DATA_DIR = is_demo, tmp_path
    for name in ("ensure_port_is_free", "prepare_database", "prepare_static_files"):
        monkeypatch.setattr(run_demo, name, lambda *_arguments: None)
    monkeypatch.setattr(run_demo.signal, "signal", lambda *_arguments: None)
    started: list[Access] = []
    monkeypatch.setattr(
        run_demo.Command, "run", lambda _command, _host, _port, access: started.append(access)
    )

    call_command("run_demo", stdout=io.StringIO())

    assert [access.user.username for access in started] == ["demo"]
    assert Service.objects.exists() == Connection.objects.exists() == is_demo


def test_welcome_without_demo_names_the_first_steps(settings: Settings, tmp_path: Any) -> None:
    settings.DEMO = False
    access = Access(make_user("demo"), "password", "token")

    text = welcome(no_style(), "http://127.0.0.1:8000", access, None, tmp_path)

    assert "The console shows the first steps: connection, service, run and log." in text

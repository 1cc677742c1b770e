"""The story of alerts with production processes and a real mail server."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.receivers import mail_server
from tests.servers.base import free_ports
from tests.stack import PATIENCE, Stack, wait_until
from tests.systems import Systems, systems

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

GOOD: list[dict[str, object]] = [{"id": 10045, "quantity": 1}]
BAD: list[dict[str, object]] = [{"id": 10045}]
SERVICE = {
    "source": {
        "connection": "shop",
        "path": "/orders",
        "pagination": {"type": "page", "page_param": "page", "size_param": "size", "first": 1},
    },
    "script": "def transform(records):\n"
    "    return [{'sku': r['id'], 'qty': r['quantity']} for r in records]\n",
    "destination": {"connection": "shop", "method": "POST", "path": "/stock"},
    "alerts": [{"on": ["failed", "recovered"], "to": ["ops"]}],
}


class World:
    """Synclog, the systems of its services, and the port of the mail server."""

    def __init__(self, stack: Stack, external: Systems, mail_port: int) -> None:
        self.stack, self.external, self.mail_port = stack, external, mail_port
        stack.create_staff("ada")
        self._token = stack.create_token("ada")

    def end_run(self, service: str, records: list[dict[str, object]]) -> str:
        """Runs the service on these records; returns the status."""
        self.external.records = records
        url = f"{self.stack.url}/api/v1/services/{service}/runs/"
        headers = {"Authorization": f"Bearer {self._token}"}
        run = requests.post(url, json={}, headers=headers, timeout=PATIENCE).json()

        def ended() -> str:
            status: str = self.stack.get(f"runs/{run['id']}/", self._token).json()["status"]
            return "" if status in ("queued", "running") else status

        return wait_until(ended, self.stack.output_tail)

    def send(self) -> None:
        """Starts the task that the scheduler starts every 10 seconds."""
        self.stack.shell("from apps.alerts.tasks import send_deliveries; send_deliveries.delay()")

    def deliveries(self) -> list[dict[str, Any]]:
        """The newest first."""
        found: list[dict[str, Any]] = self.stack.get("alerts/deliveries/", self._token).json()["results"]
        return found

    def wait_for_attempt(self, error: str) -> None:
        """Waits until the last attempt to send the newest delivery ended with this error."""
        wait_until(lambda: error in self.deliveries()[0]["last_error"], self.stack.output_tail)

    def pass_half_an_hour(self) -> None:
        self.stack.shell(
            "from datetime import timedelta as t; from django.db.models import F; "
            "from apps.alerts.models import Delivery as D; half = t(minutes=30); "
            "D.objects.update(created_at=F('created_at') - half); "
            "D.objects.pending().update(next_attempt_at=F('next_attempt_at') - half)"
        )
        self.send()

    def attempts(self) -> list[str]:
        """Errors of the attempts to send the newest delivery."""
        return self.stack.shell(
            "from apps.alerts.models import Delivery as D; "
            "print(*[a.error or 'sent' for a in D.objects.latest('pk').attempts.order_by('pk')], sep='\\n')"
        ).splitlines()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    [mail_port] = free_ports(1)
    environment = {"EMAIL_URL": f"smtp://127.0.0.1:{mail_port}", "SYNCLOG_BASE_URL": "https://sync.example"}
    with systems(GOOD) as external, Stack(environment) as stack:
        file = stack.folder / "services.yaml"
        # JSON is YAML as well.
        file.write_text(
            json.dumps(
                {
                    "connections": {"shop": {"kind": "http", "base_url": external.url}},
                    "channels": {"ops": {"kind": "email", "to": ["ops@example.com"]}},
                    "services": dict.fromkeys(("orders", "invoices", "returns"), SERVICE),
                }
            )
        )
        stack.manage("load_services", str(file))
        yield World(stack, external, mail_port)


def test_service_that_fails_three_times_and_recovers_is_two_mails(world: World) -> None:
    with mail_server(world.mail_port) as server:
        assert [world.end_run("orders", BAD) for _time in range(3)] == ["failed"] * 3
        wait_until(lambda: server.mails, world.stack.output_tail)
        assert world.end_run("orders", GOOD) == "succeeded"
        wait_until(lambda: len(server.mails) == 2, world.stack.output_tail)

        assert world.end_run("orders", GOOD) == "succeeded"
        world.send()
        wait_until(lambda: not any(row["status"] == "pending" for row in world.deliveries()))

    assert [mail["Subject"] for mail in server.mails] == [
        "[Synclog] Orders: Run failed",
        "[Synclog] Orders: Recovered: Run failed",
    ]
    assert "https://sync.example/admin/runs/run/" in server.mails[0].as_string()


def test_mail_arrives_once_though_the_workers_are_killed_before_it_is_sent(world: World) -> None:
    names = ("worker", "housekeeping")
    commands = world.stack.commands()
    # It is stopped, so that it is killed after the end of the run and before the delivery.
    os.killpg(world.stack.process("housekeeping").pid, signal.SIGSTOP)
    with mail_server(world.mail_port) as server:
        assert world.end_run("invoices", BAD) == "failed"
        for name in names:
            os.killpg(world.stack.process(name).pid, signal.SIGKILL)
            world.stack.process(name).wait()
        assert (world.deliveries()[0]["status"], server.mails) == ("pending", [])
        for name in names:
            world.stack.start(name, *commands[name])
        wait_until(lambda: server.mails, world.stack.output_tail)
        world.send()
        wait_until(lambda: world.deliveries()[0]["status"] == "sent", world.stack.output_tail)

    assert [mail["Subject"] for mail in server.mails] == ["[Synclog] Invoices: Run failed"]
    assert world.deliveries()[0]["attempt_count"] == 1


def test_mail_arrives_once_after_the_mail_server_was_down_for_an_hour(world: World) -> None:
    assert world.end_run("returns", BAD) == "failed"
    world.send()
    world.wait_for_attempt("unreachable")
    with mail_server(world.mail_port) as server:
        server.refused = {"ops@example.com": "451 Try again later"}
        world.pass_half_an_hour()
        world.wait_for_attempt("451 Try again later")
        assert server.mails == []

        server.refused = {}
        world.pass_half_an_hour()
        wait_until(lambda: world.deliveries()[0]["status"] == "sent", world.stack.output_tail)

    assert [mail["Subject"] for mail in server.mails] == ["[Synclog] Returns: Run failed"]
    assert [attempt.split(":")[0] for attempt in world.attempts()] == [
        "The mail server is unreachable",
        "The mail server refused all addresses (ops@example.com",
        "sent",
    ]

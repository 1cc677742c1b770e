"""Reporter client with a real server that can be stopped and started."""

import errno
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.wsgi import get_wsgi_application
from django.test.testcases import QuietWSGIRequestHandler
from django.utils import timezone

from apps import reporter
from apps.reporter import delivery, report
from apps.reporter.api_client import ApiClient, ServerUnreachable
from apps.runs.models import LogEntry, Payload, Record, Run
from apps.runs.recovery.lost_runs import close_lost_runs
from tests.documents import code_blocks
from tests.factories import make_service, make_token
from tests.servers.base import free_ports
from tests.stack import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


class Web:
    """Synclog's web server in a thread; it can be stopped and started at the same address."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ThreadedWSGIServer | None = None

    def start(self) -> None:
        self._server = ThreadedWSGIServer(("127.0.0.1", self.port), QuietWSGIRequestHandler)
        self._server.daemon_threads = False
        self._server.set_app(get_wsgi_application())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    web.start()
    yield web
    web.stop()


@pytest.fixture
def arguments(web, tmp_path, monkeypatch) -> dict[str, str | Path]:
    """Arguments of `report` in addition to the service."""
    monkeypatch.setattr(delivery, "CHECK_INTERVAL", 0.02)
    monkeypatch.setattr(delivery, "MAX_WAIT", 0.1)
    make_service(slug="nightly", kind="reported", source_connection=None, destination_connection=None)
    _token, secret = make_token(scopes=["run:report"])
    return {"url": web.url, "token": secret, "spool": tmp_path / "spool"}


def stored(run: Run) -> list[tuple[int, str]]:
    return list(
        LogEntry.objects.filter(run_id=run.pk).order_by("sequence").values_list("sequence", "message")
    )


def test_run_is_reported_with_lines_payloads_and_counts(arguments, tmp_path):
    file = tmp_path / "orders.json"
    file.write_text("[1, 2]")

    with report("nightly", **arguments) as run:
        run.step = "start"
        run.log.debug("begin %d", 1)
        run.step = "push"
        run.log.warning("half \ud800")
        run.payload("pull", file, content_type="application/json")
        run.payload("push", b"sent", name="a/b.bin")
        run.payload("push", b"sent", name='odd "näme" %2F?.bin')
        run.pulled(250)
        run.pushed()

    run = Run.objects.get()
    levels = list(LogEntry.objects.order_by("sequence").values_list("level", "step"))
    payloads = {payload.name: payload for payload in Payload.objects.all()}
    assert (run.status, run.pulled_count, run.pushed_count, run.is_complete) == ("succeeded", 250, 1, True)
    assert stored(run) == [(1, "begin 1"), (2, "half \\ud800")]
    assert levels == [(10, 1), (30, 4)]
    assert set(payloads) == {"orders.json", 'odd "näme" %2F?.bin'}
    assert payloads["orders.json"].sequence == 2
    assert payloads["orders.json"].content_type == "application/json"
    assert payloads["orders.json"].expires_at is not None
    assert storages["payloads"].exists(payloads["orders.json"].key)
    assert list(arguments["spool"].iterdir()) == []


def test_example_of_the_handbook_reports_a_run(arguments, tmp_path, monkeypatch):
    [example] = [text for name, text in code_blocks("python") if name.startswith("reporting.md")]
    monkeypatch.setitem(sys.modules, "reporter", reporter)
    monkeypatch.setenv("SYNCLOG_REPORT_SPOOL", str(arguments["spool"]))
    monkeypatch.chdir(tmp_path)
    Path("orders.json").write_text("[]")

    exec(example.replace("https://synclog.example", arguments["url"]), {"token": arguments["token"]})  # noqa: S102 - our own text

    run = Run.objects.get()
    assert (run.status, run.pulled_count) == ("succeeded", 250)
    assert stored(run) == [(1, "got 250 orders")]
    assert (run.payloads.count(), Record.objects.count()) == (1, 1)


def outcomes(run: Run) -> dict[str, tuple[str, str, int]]:
    return {
        row.key: (Record.Outcome(row.outcome).slug, row.message, row.sequence)
        for row in Record.objects.filter(run=run)
    }


def test_records_survive_an_outage_and_invalid_ones_do_not_stop_the_report(arguments, web, caplog):
    with report("nightly", **arguments) as run:
        run.record("early", "pushed")
        run.log.info("first")
        wait_until(Record.objects.exists)
        web.stop()
        run.record("10045", "refused", "unknown sku")
        run.record(7, "pushed", "half \ud800")
        for number in range(6000):
            run.record(f"k{number}", "skipped")
        run.record("x" * 40_000, "pushed", "m" * 40_000)
        for key in ("", None, True, [1]):
            run.record(key, "pushed")
        with pytest.raises(ValueError, match="Unknown outcome 'lost'"):
            run.record("1", "lost")
        web.start()

    ended = Run.objects.get()
    found = outcomes(ended)
    assert (ended.status, ended.refused_count, len(found)) == ("succeeded", 1, 6004)
    assert found["10045"] == ("refused", "unknown sku", 1)
    assert found["7"] == ("pushed", "half \\ud800", 1)
    assert found["early"][:2] == ("pushed", "")
    assert caplog.text.count("without a valid key") == 4
    assert list(arguments["spool"].iterdir()) == []


def test_exception_fails_the_run_and_propagates(arguments):
    def job():
        with report("nightly", **arguments) as run:
            run.log.info("so far")
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        job()

    run = Run.objects.get()
    assert (run.status, run.error) == ("failed", "ZeroDivisionError: division by zero")
    assert "Traceback" in stored(run)[1][1]


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "cancelled"), (SystemExit(0), "succeeded"), (SystemExit(3), "failed")],
)
def test_interrupt_and_exit_code_set_the_status(arguments, error, status):
    with pytest.raises(type(error)), report("nightly", **arguments):
        raise error

    assert Run.objects.get().status == status


def test_connection_reset_counts_as_unreachable_server(monkeypatch):
    def reset(*_address, **_options):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr("socket.create_connection", reset)

    with pytest.raises(ServerUnreachable, match="reset by peer"):
        ApiClient("http://127.0.0.1:9", "token").call("POST", "runs/1/log/", b"", {})


def test_handler_accepts_records_of_any_logger(arguments):
    log = logging.getLogger("tests.some.job")
    log.setLevel(logging.DEBUG)

    with report("nightly", **arguments) as run:
        log.addHandler(run.handler)
        try:
            log.critical("broken")
            log.debug("fine")
        finally:
            log.removeHandler(run.handler)
        run.log.info("one %s", "and", "many")
        run.log.info("one %(word)s", {"other": "word"})
        run.log.info("x" * 40_000)

    lines = list(LogEntry.objects.order_by("sequence").values_list("level", "message"))
    assert lines[:2] == [(40, "broken"), (10, "fine")]
    assert lines[2][1].startswith("one %s [invalid arguments")
    assert lines[3][1] == "one %(word)s [invalid arguments: 'word']"
    assert lines[4][1].endswith("[8,000 characters cut]")


def test_server_outage_loses_nothing(arguments, web):
    with report("nightly", **arguments) as run:
        run.log.info("before")
        wait_until(lambda: LogEntry.objects.filter(message="before").exists())
        web.stop()
        for number in range(7000):
            run.log.info("away %d", number)
        run.payload("pull", b"meanwhile", name="file")
        web.start()
        run.log.info("after")

    lines = stored(Run.objects.get())
    assert lines == [
        (number, text)
        for number, text in enumerate(["before", *(f"away {index}" for index in range(7000)), "after"], 1)
    ]
    assert Payload.objects.get().name == "file"


def test_unreachable_server_does_not_block_and_next_start_sends_the_report(arguments, web):
    web.stop()
    with report("nightly", **arguments, patience=0.2) as run:
        run.log.info("first")
        run.pulled(3)
    assert not Run.objects.exists()

    web.start()
    with report("nightly", **arguments) as run:
        run.log.info("second")
        wait_until(lambda: Run.objects.filter(pulled_count=3).exists())

    first, second = Run.objects.order_by("pulled_count")[1], Run.objects.order_by("pulled_count")[0]
    assert (first.status, stored(first)) == ("succeeded", [(1, "first")])
    assert (second.status, stored(second)) == ("succeeded", [(1, "second")])
    assert list(arguments["spool"].iterdir()) == []


def _report_and_die(arguments: dict[str, str | Path]) -> None:
    with report("nightly", **arguments) as run:
        run.log.info("last line")
        run.record("last", "failed")
        os.kill(os.getpid(), 9)


def test_run_of_killed_process_is_reported_by_the_next(arguments):
    process = multiprocessing.get_context("fork").Process(target=_report_and_die, args=(arguments,))
    process.start()
    process.join()

    with report("nightly", **arguments):
        wait_until(lambda: Run.objects.filter(status="failed").exists())

    killed = Run.objects.get(status="failed")
    assert stored(killed) == [(1, "last line")]
    assert outcomes(killed) == {"last": ("failed", "", 1)}
    assert killed.error == "The reporting process ended before the run did."
    assert Run.objects.filter(status="succeeded").count() == 1


def test_lost_run_is_reported_again_as_a_new_run(arguments):
    with report("nightly", **arguments) as run:
        run.log.info("before")
        run.payload("pull", b"bytes", name="file")
        run.record("1", "refused")
        wait_until(lambda: Payload.objects.filter(status="stored").exists())
        # Repeated, because the request that uploaded the file may still renew the lease.
        assert (
            wait_until(
                lambda: Run.objects.update(lease_until=timezone.now()) and close_lost_runs(worker="test")
            )
            == 1
        )
        run.log.info("after")

    lost, whole = Run.objects.order_by("pk")
    assert (lost.status, whole.status) == ("lost", "succeeded")
    assert stored(whole) == [(1, "before"), (2, "after")]
    assert Payload.objects.filter(run=whole).count() == 1
    assert outcomes(whole) == {"1": ("refused", "", 1)}


def test_client_sees_the_cancel_request(arguments):
    with report("nightly", **arguments) as run:
        wait_until(Run.objects.exists)
        assert not run.cancel_requested
        Run.objects.update(cancel_requested_at=timezone.now())
        run.log.info("next line")
        wait_until(lambda: run.cancel_requested)


def test_rejected_token_keeps_the_report_and_is_not_logged(arguments, caplog):
    invalid = arguments | {"token": "synclog_wrong"}

    with report("nightly", **invalid) as run:
        wait_until(lambda: "refuses the report" in caplog.text)
        run.log.info("still here")

    [folder] = arguments["spool"].iterdir()
    spooled = "".join(path.read_text() for path in folder.iterdir())
    assert json.loads((folder / "lines").read_text())["message"] == "still here"
    assert "synclog_wrong" not in caplog.text + spooled


def test_full_disk_does_not_interrupt_the_job(arguments, monkeypatch, caplog):
    with report("nightly", **arguments) as run:
        run.log.info("one")
        with monkeypatch.context() as patch:
            patch.setattr(run._spool, "append", lambda _line: (_ for _ in ()).throw(OSError(28, "full")))
            run.log.info("lost")
        run.payload("pull", "/nowhere/at/all")
        run.log.info("two")

    assert stored(Run.objects.get()) == [(1, "one"), (2, "two")]
    assert caplog.text.count("is not reported") == 2


def test_client_does_not_import_django():
    code = "import sys, apps.reporter; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Delivery of reports from disk to the server in a separate thread."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import urllib.parse
import uuid
from http import HTTPStatus

# Relative, so that the package can be copied under any name.
from .api_client import ApiClient, ReportRejected, ServerUnreachable
from .spool import Spool

logger = logging.getLogger("synclog.reporter")

# Seconds: interval of sending; interval of empty batches, which renew the lease; longest pause between retries.
CHECK_INTERVAL, _HEARTBEAT_INTERVAL, MAX_WAIT = 0.5, 60.0, 60.0

# Problems of a single file, which do not stop the report.
_OF_THE_FILE = ("invalid", "payload-name-taken")


class Sender:
    """Sends one spool, from the first line that the server does not have."""

    def __init__(self, api: ApiClient, spool: Spool) -> None:
        self.spool = spool
        self.cancel_requested = False
        self._api = api
        self._run_id: int | None = None
        self._offset = self._sent = self._payloads = self._records_offset = 0
        self._last_request_at = 0.0

    def send(self) -> bool:
        """Sends all new data; returns whether the run is reported completely.

        Raises ServerUnreachable, ReportRejected.
        """
        if self._run_id is None:
            self._open()
        try:
            return self._send()
        except ReportRejected as error:
            if error.problem.get("run_status") == "lost":
                # The lease was lost. The complete spool is reported as another run.
                description = self.spool.read("run") or {}
                self.spool.write("run", description | {"key": uuid.uuid4().hex})
                self._run_id = None
                return False
            raise

    def _open(self) -> None:
        description = self.spool.read("run") or {}
        headers = {"Content-Type": "application/json", "Idempotency-Key": description["key"]}
        body = json.dumps({"dry_run": description["dry_run"]}).encode()
        path = f"services/{urllib.parse.quote(description['service'], safe='')}/runs/"
        run, _headers = self._api.call("POST", path, body, headers)
        self._run_id, self._offset, self._sent, self._payloads = run["id"], 0, 0, 0
        # Repeated records are harmless.
        self._records_offset = 0
        self._skip(run["line_count"])

    def _send(self) -> bool:
        # Read before the lines: all lines before the end are written before it.
        end = self.spool.read("end")
        while lines := self.spool.batch(self._offset):
            try:
                self._post("log", b"".join(lines))
            except ReportRejected as error:
                if error.kind != "lines-missing":
                    raise
                self._offset = self._sent = 0
                self._skip(error.problem["expected_sequence"] - 1)
                continue
            self._offset += sum(map(len, lines))
            self._sent += len(lines)
            self._send_payloads()
        self._send_payloads()
        self._send_records()
        if end is None:
            if time.monotonic() - self._last_request_at > _HEARTBEAT_INTERVAL:
                self._post("log", b"")
            return False
        headers = {"Content-Type": "application/json"}
        self._api.call("POST", f"runs/{self._run_id}/finish/", json.dumps(end).encode(), headers)
        return True

    def _send_records(self) -> None:
        while records := self.spool.batch(self._records_offset, "records"):
            try:
                self._post("records", b"".join(records))
            except ReportRejected as error:
                if error.kind != "invalid":
                    raise
                logger.warning("%d records are not stored: %s", len(records), error)
            self._records_offset += sum(map(len, records))

    def _post(self, route: str, body: bytes) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        _response, response_headers = self._api.call("POST", f"runs/{self._run_id}/{route}/", body, headers)
        self.cancel_requested = "Synclog-Cancel-Requested" in response_headers
        self._last_request_at = time.monotonic()

    def _skip(self, count: int) -> None:
        """Continues after line number `count`."""
        while self._sent < count and (lines := self.spool.batch(self._offset)[: count - self._sent]):
            self._offset += sum(map(len, lines))
            self._sent += len(lines)

    def _send_payloads(self) -> None:
        while (description := self.spool.read(f"payload-{self._payloads}")) is not None:
            name = urllib.parse.quote(description["name"], safe="")
            path = f"runs/{self._run_id}/payloads/{description['kind']}/{name}"
            file = self.spool.folder / f"payload-{self._payloads}"
            headers = {
                "Content-Type": description["content_type"],
                "Content-Length": str(file.stat().st_size),
            }
            if description["sequence"]:
                headers["X-Log-Sequence"] = str(description["sequence"])
            try:
                with file.open("rb") as stream:
                    self._api.call("PUT", path, stream, headers)
            except ReportRejected as error:
                if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE and error.kind not in _OF_THE_FILE:
                    raise
                logger.warning("The file %r is not stored: %s", description["name"], error)
            self._payloads += 1


class Delivery(threading.Thread):
    """Sends the spool of this run, and those of earlier processes."""

    def __init__(self, own: Sender, left: list[Sender]) -> None:
        super().__init__(name="synclog-reporter", daemon=True)
        self._own, self._left = own, left
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._is_over = False

    def finish(self, patience: float) -> bool:
        """Waits until everything is sent; returns whether this run is reported completely."""
        self._ending.set()
        self._wake.set()
        self.join(patience)
        self._is_over = True
        self._wake.set()
        # Long enough to release the locks unless a request hangs.
        self.join(1)
        return not self._own.spool.folder.exists()

    def run(self) -> None:
        try:
            self._work()
        finally:
            # More may be written until then.
            self._ending.wait()
            for sender in (self._own, *self._left):
                sender.spool.release()

    def _work(self) -> None:
        wait = 1.0
        while not self._is_over:
            pause = CHECK_INTERVAL
            try:
                self._deliver()
                wait = 1.0
                if self._ending.is_set() and not self._own.spool.folder.exists():
                    return
            except ServerUnreachable as error:
                pause, wait = max(wait, error.wait), min(wait * 2, MAX_WAIT)
                pause = min(pause, CHECK_INTERVAL) if self._ending.is_set() else pause
                logger.info("Synclog is unreachable; the report waits: %s", error)
            except ReportRejected as error:
                logger.warning(
                    "Synclog refuses the report, which waits in %s: %s", self._own.spool.folder, error
                )
                return
            self._wake.wait(pause)
            self._wake.clear()

    def _deliver(self) -> None:
        if self._own.spool.folder.exists() and self._own.send():
            shutil.rmtree(self._own.spool.folder)
        for sender in list(self._left):
            try:
                if not sender.send():
                    continue
                shutil.rmtree(sender.spool.folder)
            except ReportRejected as error:
                logger.warning("Synclog refuses an earlier report in %s: %s", sender.spool.folder, error)
            self._left.remove(sender)
            sender.spool.release()

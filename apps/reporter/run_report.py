"""Client that reports runs of other programs to Synclog. Standard library only; copy this package.

    with report("orders", url="https://synclog.example", token=token) as run:
        run.log.info("got %d orders", 250)
        run.payload("pull", "orders.json")
        run.record("10045", "refused", "unknown sku")
        run.pulled(250)

Reports are written to a folder first, where they survive this process, and a thread sends them to the server. The
work never waits for the server and never fails because of it; what could not be sent is sent by the next start.
Needs POSIX file locks.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# Relative, so that the package can be copied under any name.
from .api_client import ApiClient
from .delivery import Delivery, Sender, logger
from .spool import Spool, abandoned_spools

# A longer message is cut, so that a batch stays within the limit of the server.
_CHARACTERS = 32_000
OUTCOMES = ("refused", "failed", "pushed", "dropped", "skipped", "pulled")


class Report:
    """An open run. Its methods can be called from any thread and never fail because of the server."""

    def __init__(self, spool: Spool, sender: Sender) -> None:
        self.step = "pull"  # Step of the following lines: start, pull, script, push, finish.
        self.handler = ReportHandler(self)
        # One logger per run, which no other code can get.
        self.log = logging.Logger("synclog.run", logging.DEBUG)  # noqa: LOG001
        self.log.addHandler(self.handler)
        self._spool, self._sender = spool, sender
        self._mutex = threading.Lock()
        self._sequence = self._payloads = self._pulled = self._pushed = 0

    @property
    def cancel_requested(self) -> bool:
        """Whether a person asked in Synclog to stop the run."""
        return self._sender.cancel_requested

    def pulled(self, count: int = 1) -> None:
        with self._mutex:
            self._pulled += count

    def pushed(self, count: int = 1) -> None:
        with self._mutex:
            self._pushed += count

    def payload(
        self,
        kind: str,
        content: bytes | str | Path,
        *,
        name: str = "",
        content_type: str = "application/octet-stream",
    ) -> None:
        """Stores a file ("pull", "script" or "push") from bytes or a path at the latest line."""
        with self._mutex, _ignoring_disk_errors("A file"):
            target = self._spool.folder / f"payload-{self._payloads}"
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
                name = name or Path(content).name
            description = {"kind": kind, "name": name or target.name, "content_type": content_type}
            self._spool.write(target.name, description | {"sequence": self._sequence})
            self._payloads += 1

    def record(self, key: str | float, outcome: str, message: str = "") -> None:
        """Reports what became of a record, at the latest line; of several outcomes the worst counts.

        A record is reported only if its key is a number or text that is not empty. Raises ValueError for an unknown
        outcome.
        """
        if outcome not in OUTCOMES:
            raise ValueError(f"Unknown outcome {outcome!r}. Allowed: {', '.join(OUTCOMES)}.")
        if isinstance(key, bool) or not isinstance(key, str | int | float) or key == "":
            logger.warning("A record without a valid key is not reported: %.100r", key)
            return
        document = {"key": str(key)[:_CHARACTERS], "outcome": outcome, "message": message[:_CHARACTERS]}
        with self._mutex, _ignoring_disk_errors("A record"):
            line = {"sequence": self._sequence} if self._sequence else {}
            self._spool.append(document | line, "records")

    def write(self, created: float, level: str, message: str) -> None:
        if len(message) > _CHARACTERS:
            message = f"{message[:_CHARACTERS]} … [{len(message) - _CHARACTERS:,} characters cut]"
        moment = datetime.fromtimestamp(created, UTC).isoformat()
        with self._mutex, _ignoring_disk_errors("A line"):
            line = {"sequence": self._sequence + 1, "logged_at": moment, "level": level, "step": self.step}
            self._spool.append(line | {"message": message})
            self._sequence += 1

    def end(self, error: BaseException | None) -> None:
        """Reports the result: failed by an exception, cancelled by Ctrl-C, otherwise succeeded."""
        status, reason = "succeeded", ""
        if isinstance(error, KeyboardInterrupt):
            status, reason = "cancelled", "Interrupted"
        elif error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
            status, reason = "failed", f"{type(error).__name__}: {error}"
            self.log.error("%s", reason, exc_info=error)
        with self._mutex, _ignoring_disk_errors("The end"):
            counts = {"pulled_count": self._pulled, "pushed_count": self._pushed}
            self._spool.write("end", {"status": status, "error": reason} | counts)


class ReportHandler(logging.Handler):
    """Turns log records into lines of the run: `logging.getLogger().addHandler(run.handler)`."""

    def __init__(self, run: Report) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == logger.name:
            return
        try:
            message = self.format(record)
        # A report must not end the program that reports.
        except Exception as error:  # noqa: BLE001
            message = f"{record.msg!s} [invalid arguments: {error}]"
        level = min(max(record.levelno // 10, 1), 4)
        self._run.write(record.created, ("debug", "info", "warning", "error")[level - 1], message)


@contextmanager
def report(
    service: str,
    *,
    url: str = "",
    token: str = "",
    spool: str | Path = "",
    dry_run: bool = False,
    patience: float = 10,
) -> Iterator[Report]:
    """Reports a run of the service with this slug. The run ends with the block; after an exception it has failed.

    `url` and `token` default to SYNCLOG_URL and SYNCLOG_TOKEN; `spool`, a folder, to SYNCLOG_REPORT_SPOOL or
    ~/.synclog/reports. The end waits up to `patience` seconds until everything is sent.
    """
    api = ApiClient(url or os.environ["SYNCLOG_URL"], token or os.environ["SYNCLOG_TOKEN"])
    folder = Path(spool or os.environ.get("SYNCLOG_REPORT_SPOOL") or Path.home() / ".synclog" / "reports")
    left = [Sender(api, found) for found in abandoned_spools(folder, api.url)]
    key = uuid.uuid4().hex
    own = Spool(folder / f"{time.time_ns()}-{key}")
    own.create({"service": service, "url": api.url, "key": key, "dry_run": dry_run})
    sender = Sender(api, own)
    run = Report(own, sender)
    delivery = Delivery(sender, left)
    delivery.start()
    try:
        yield run
    except BaseException as error:
        run.end(error)
        raise
    else:
        run.end(None)
    finally:
        if not delivery.finish(patience):
            logger.warning("Not everything was sent; the next start sends the rest in %s", own.folder)


@contextmanager
def _ignoring_disk_errors(what: str) -> Iterator[None]:
    """The work continues if the disk does not take a report."""
    try:
        yield
    except OSError as error:
        logger.warning("%s could not be written to disk and is not reported: %s", what, error)

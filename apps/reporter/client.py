"""Reports a run that happens elsewhere to Synclog: the standard library, no Django. Copy this package along.

    with report("orders", url="https://synclog.example", token=token) as run:
        run.log.info("got %d orders", 250)
        run.payload("pull", "orders.json")
        run.pulled(250)

What is reported goes to a folder first, where it survives this process, and from there to the server by a thread of
its own. So the work never waits for the server and never fails because of it; what could not be sent at the end is
sent by the next start. Requires a file lock as POSIX has it.
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

# Relative, so that the package can be copied along under any name.
from .sending import Delivery, Sender, logger
from .server import Server
from .spool import Spool, left_behind

# A longer message is cut, so that a batch fits into what the server takes.
_CHARACTERS = 32_000


class Report:
    """A run in the making. Its methods may be called from any thread, and never fail because of the server."""

    def __init__(self, spool: Spool, sender: Sender) -> None:
        self.step = "pull"  # Of the lines to come: start, pull, script, push, finish.
        self.handler = ReportHandler(self)
        # One for each run, which nobody else can get hold of.
        self.log = logging.Logger("synclog.run", logging.DEBUG)  # noqa: LOG001
        self.log.addHandler(self.handler)
        self._spool, self._sender = spool, sender
        self._mutex = threading.Lock()
        self._sequence = self._payloads = self._pulled = self._pushed = 0

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked, in Synclog, to stop the run."""
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
        """Keep a file ("pull", "script" or "push"), from bytes or a path, at the line that was logged last."""
        with self._mutex, _forgiven("A file"):
            target = self._spool.folder / f"payload-{self._payloads}"
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
                name = name or Path(content).name
            facts = {"kind": kind, "name": name or target.name, "content_type": content_type}
            self._spool.write(target.name, facts | {"sequence": self._sequence})
            self._payloads += 1

    def write(self, created: float, level: str, message: str) -> None:
        if len(message) > _CHARACTERS:
            message = f"{message[:_CHARACTERS]} … [{len(message) - _CHARACTERS:,} characters cut]"
        moment = datetime.fromtimestamp(created, UTC).isoformat()
        with self._mutex, _forgiven("A line"):
            line = {"sequence": self._sequence + 1, "logged_at": moment, "level": level, "step": self.step}
            self._spool.append(line | {"message": message})
            self._sequence += 1

    def end(self, error: BaseException | None) -> None:
        """Say how it ended: failed by an exception, cancelled by Ctrl-C, succeeded otherwise."""
        status, reason = "succeeded", ""
        if isinstance(error, KeyboardInterrupt):
            status, reason = "cancelled", "Interrupted"
        elif error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
            status, reason = "failed", f"{type(error).__name__}: {error}"
            self.log.error("%s", reason, exc_info=error)
        with self._mutex, _forgiven("The end"):
            counts = {"pulled_count": self._pulled, "pushed_count": self._pushed}
            self._spool.write("end", {"status": status, "error": reason} | counts)


class ReportHandler(logging.Handler):
    """Makes what is logged lines of the run: `logging.getLogger().addHandler(run.handler)`."""

    def __init__(self, run: Report) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == logger.name:
            return
        try:
            message = self.format(record)
        # What is reported must not end what reports it.
        except Exception as error:  # noqa: BLE001
            message = f"{record.msg!s} [the arguments do not fit: {error}]"
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
    """A run of the reported service with this slug, open until the block ends; an exception makes it failed.

    `url`, `token` and `spool` (a folder) are taken from SYNCLOG_URL, SYNCLOG_TOKEN and SYNCLOG_REPORT_SPOOL where
    they are not given. At the end it waits for up to `patience` seconds until everything is sent.
    """
    server = Server(url or os.environ["SYNCLOG_URL"], token or os.environ["SYNCLOG_TOKEN"])
    folder = Path(spool or os.environ.get("SYNCLOG_REPORT_SPOOL") or Path.home() / ".synclog" / "reports")
    left = [Sender(server, found) for found in left_behind(folder, server.url)]
    key = uuid.uuid4().hex
    own = Spool(folder / f"{time.time_ns()}-{key}")
    own.create({"service": service, "url": server.url, "key": key, "dry_run": dry_run})
    sender = Sender(server, own)
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
            logger.warning("Not everything is sent; the next start sends what waits in %s", own.folder)


@contextmanager
def _forgiven(what: str) -> Iterator[None]:
    """The work goes on where the disk does not take what is to be reported."""
    try:
        yield
    except OSError as error:
        logger.warning("%s could not be spooled, and is not reported: %s", what, error)

"""Holds payloads back on the worker's disk until it is known whether the run went wrong, and they are needed.

A folder a run beside the spool: for each payload a file with its bytes, and then one that tells what it is. The
second makes it whole, so what a crash interrupts is left out.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from apps.runs.clock import database_now
from apps.runs.models import Payload, Run
from apps.runs.payloads.expiry import set_expiry
from apps.runs.payloads.object_store import FOLDER, object_size
from apps.runs.payloads.storage import PayloadNotKept, keep_payload

logger = logging.getLogger(__name__)

_TRIGGERS = (Run.Trigger.SCHEDULE, Run.Trigger.RETRY)


@dataclass(frozen=True)
class CapturedPayload:
    """What is known of a payload that is held back; its bytes are in the file beside."""

    id: str
    kind: str
    name: str
    content_type: str
    sequence: int
    size: int


class Capture:
    """The payloads of one run that are held back: the latest of them, as far as the budget goes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = _folder_of(run.pk)
        self._number = 0
        self._size = 0
        self._held: list[tuple[Path, int]] = []

    @classmethod
    def of(cls, run: Run) -> Capture | None:
        """For a run whose service wants that, and which nobody watches; None for others."""
        return cls(run) if run.service.capture_on_failure and run.trigger in _TRIGGERS else None

    def add(self, *, kind: str, name: str, content_type: str, stream: BinaryIO, sequence: int) -> None:
        """Hold one payload back for the line `sequence`. Raises PayloadNotKept where the disk does not take it."""
        self._number += 1
        body = self._folder / f"{self._number:08d}.body"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with body.open("wb") as file:
                shutil.copyfileobj(stream, file)
                size = file.tell()
            facts = CapturedPayload(str(uuid.uuid4()), kind, name, content_type, sequence, size)
            _describe(body.with_suffix(".json"), facts)
        except OSError as error:
            body.unlink(missing_ok=True)
            raise PayloadNotKept(f"it could not be held back: {error.strerror}") from error
        self._held.append((body, size))
        self._size += size
        self._keep_within_budget()

    def _keep_within_budget(self) -> None:
        """Drop the oldest, which are the furthest from what went wrong."""
        while self._size > settings.CAPTURE_BYTES and self._held:
            body, size = self._held.pop(0)
            self._size -= size
            _drop(body)
            dropped = self._folder / "dropped"
            dropped.write_text(str(int(dropped.read_text()) + 1 if dropped.exists() else 1))


def is_smooth(status: Run.Status, counters: Mapping[str, Any]) -> bool:
    """Whether a run that ends so needs no evidence: no failure, no warning, no error."""
    went_wrong = status in (Run.Status.FAILED, Run.Status.LOST)
    return not (went_wrong or counters.get("warning_count") or counters.get("error_count"))


def keep_captured(run: Run) -> None:
    """Store what was held back, each payload at its line, and say so in the log; what is stored is held no more.

    May be called again where it was interrupted: what is stored is not stored twice.
    """
    folder = _folder_of(run.pk)
    if not folder.exists():
        return
    held = [(described, _facts_in(described)) for described in sorted(folder.glob("*.json"))]
    # The log looks for payloads only in runs that keep some.
    Run.objects.filter(pk=run.pk).update(**{f"store_{facts.kind}": True for _described, facts in held})
    kept, problems = 0, []
    for described, facts in held:
        try:
            _keep(run, facts, described.with_suffix(".body"))
        except PayloadNotKept as error:
            problems.append(f"{facts.name} could not be kept: {error}")
        else:
            kept += 1
    dropped = folder / "dropped"
    logger.info(
        "The run did not go smoothly: %d payloads that were held back are kept, each at its line", kept
    )
    if dropped.exists():
        logger.warning(
            "Of the payloads that were held back, the first %s are gone: all were more than %d MiB "
            "(SYNCLOG_CAPTURE_MIB)",
            dropped.read_text(),
            settings.CAPTURE_BYTES // (1024 * 1024),
        )
    for problem in problems:
        logger.warning("%s", problem)


def discard_captured(run_id: int) -> None:
    """Throw away what is still held back for a run that has ended."""
    shutil.rmtree(_folder_of(run_id), ignore_errors=True)


def move_captured(run_id: int, *, since: int, by: int) -> None:
    """Let what is held back from line `since` on stand `by` lines further down, as those lines now do."""
    for described in _folder_of(run_id).glob("*.json"):
        facts = _facts_in(described)
        if facts.sequence >= since:
            _describe(described, replace(facts, sequence=facts.sequence + by))


def settle_orphaned_captures() -> None:
    """Keep what crashes left behind where its run went wrong, and throw away the rest.

    Such a folder is left where a run was closed on another host. While the store is away it waits, as long as what
    it holds could still be read.
    """
    for folder in _folders():
        run_id = int(folder.name.removeprefix("run-").removesuffix(".captured"))
        run = Run.objects.filter(pk=run_id).first()
        if run is not None and run.is_open:
            continue
        with suppress(FileNotFoundError, BlockingIOError), (folder / "lock").open("w") as lock:
            # Another process of this host may be at it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if run is not None and _is_evidence(run):
                if not _store_answers():
                    return
                keep_captured(run)
                set_expiry(run, settings.PAYLOAD_RETENTION)
            discard_captured(run_id)


def _is_evidence(run: Run) -> bool:
    """Whether the run went wrong, and so lately that its payloads may still be read."""
    counters = {"warning_count": run.warning_count, "error_count": run.error_count}
    return not is_smooth(Run.Status(run.status), counters) and (
        run.finished_at is not None and run.finished_at + settings.PAYLOAD_RETENTION > database_now()
    )


def _store_answers() -> bool:
    """Whether the payload store can be asked for anything at all."""
    try:
        object_size(f"{FOLDER}probe")
    except (FileNotFoundError, ClientError):
        return True
    except (OSError, BotoCoreError):
        return False
    return True


def _describe(described: Path, facts: CapturedPayload) -> None:
    """Write the facts, all of them or none: half of them would keep the run from ending. Raises OSError."""
    draft = described.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(facts)))
    draft.replace(described)


def _facts_in(described: Path) -> CapturedPayload:
    return CapturedPayload(**json.loads(described.read_text()))


def _keep(run: Run, facts: CapturedPayload, body: Path) -> None:
    if not Payload.objects.filter(pk=facts.id, status=Payload.Status.STORED).exists():
        is_new = not Payload.objects.filter(pk=facts.id).exists()
        try:
            with body.open("rb") as stream:
                keep_payload(
                    run,
                    kind=facts.kind,
                    name=facts.name,
                    content_type=facts.content_type,
                    stream=stream,
                    sequence=facts.sequence,
                    # An upload that a crash interrupted has its row, which ends as lost.
                    payload_id=uuid.UUID(facts.id) if is_new else None,
                )
        except OSError as error:
            raise PayloadNotKept(f"it could not be read again: {error.strerror}") from error
    _drop(body)


def _drop(body: Path) -> None:
    body.with_suffix(".json").unlink(missing_ok=True)
    body.unlink(missing_ok=True)


def _folder_of(run_id: int) -> Path:
    folder: Path = settings.SPOOL_DIR
    return folder / f"run-{run_id}.captured"


def _folders() -> list[Path]:
    folder: Path = settings.SPOOL_DIR
    return sorted(folder.glob("run-*.captured"))

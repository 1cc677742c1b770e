"""Capture of payloads on the worker's disk until it is known whether the run fails.

A folder per run beside the spool: for each payload a file with its bytes and one with its metadata. The second one
makes it complete, so an interrupted capture is ignored.
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
from apps.runs.payloads.storage import PayloadNotStored, store_payload

logger = logging.getLogger(__name__)

_TRIGGERS = (Run.Trigger.SCHEDULE, Run.Trigger.RETRY)


@dataclass(frozen=True)
class CapturedPayload:
    """Metadata of a captured payload; its bytes are in the file beside it."""

    id: str
    kind: str
    name: str
    content_type: str
    sequence: int
    size: int


class Capture:
    """Captured payloads of one run: the latest ones within the size limit."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = _folder_of(run.pk)
        self._number = 0
        self._size = 0
        self._captured: list[tuple[Path, int]] = []

    @classmethod
    def of(cls, run: Run) -> Capture | None:
        """Capture for a scheduled or repeated run of a service with `capture_on_failure`, None for others."""
        return cls(run) if run.service.capture_on_failure and run.trigger in _TRIGGERS else None

    def add(self, *, kind: str, name: str, content_type: str, stream: BinaryIO, sequence: int) -> None:
        """Captures one payload for line `sequence`. Raises PayloadNotStored if the disk is full."""
        self._number += 1
        body = self._folder / f"{self._number:08d}.body"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with body.open("wb") as file:
                shutil.copyfileobj(stream, file)
                size = file.tell()
            metadata = CapturedPayload(str(uuid.uuid4()), kind, name, content_type, sequence, size)
            _write_metadata(body.with_suffix(".json"), metadata)
        except OSError as error:
            body.unlink(missing_ok=True)
            raise PayloadNotStored(f"it could not be captured: {error.strerror}") from error
        self._captured.append((body, size))
        self._size += size
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drops the oldest payloads, which are furthest from the failure."""
        while self._size > settings.CAPTURE_BYTES and self._captured:
            body, size = self._captured.pop(0)
            self._size -= size
            _drop(body)
            dropped = self._folder / "dropped"
            dropped.write_text(str(int(dropped.read_text()) + 1 if dropped.exists() else 1))


def is_clean(status: Run.Status, counters: Mapping[str, Any]) -> bool:
    """Whether a run ended by itself without failure, warning and error, so that its payloads are not needed."""
    went_wrong = status in (Run.Status.FAILED, Run.Status.LOST, Run.Status.CANCELLED)
    return not (went_wrong or counters.get("warning_count") or counters.get("error_count"))


def store_captured(run: Run) -> None:
    """Stores the captured payloads, each at its line, and logs it.

    May be repeated after an interruption: nothing is stored twice.
    """
    folder = _folder_of(run.pk)
    if not folder.exists():
        return
    captured = [(file, _read_metadata(file)) for file in sorted(folder.glob("*.json"))]
    # The log looks for payloads only in runs that store some.
    Run.objects.filter(pk=run.pk).update(**{f"store_{metadata.kind}": True for _file, metadata in captured})
    stored_count, problems = 0, []
    for metadata_file, metadata in captured:
        try:
            _store(run, metadata, metadata_file.with_suffix(".body"))
        except PayloadNotStored as error:
            problems.append(f"{metadata.name} could not be stored: {error}")
        else:
            stored_count += 1
    dropped = folder / "dropped"
    logger.info(
        "Captured payloads stored because the run had failures or warnings: %d, each at its line",
        stored_count,
    )
    if dropped.exists():
        logger.warning(
            "The first %s captured payloads were dropped: together they exceeded %d MiB "
            "(SYNCLOG_CAPTURE_MIB)",
            dropped.read_text(),
            settings.CAPTURE_BYTES // (1024 * 1024),
        )
    for problem in problems:
        logger.warning("%s", problem)


def discard_captured(run_id: int) -> None:
    """Discards the captured payloads of a run that has ended."""
    shutil.rmtree(_folder_of(run_id), ignore_errors=True)


def shift_captured(run_id: int, *, since: int, by: int) -> None:
    """Moves payloads captured at line `since` or later by `by` lines, as their lines were moved."""
    for metadata_file in _folder_of(run_id).glob("*.json"):
        metadata = _read_metadata(metadata_file)
        if metadata.sequence >= since:
            _write_metadata(metadata_file, replace(metadata, sequence=metadata.sequence + by))


def resolve_orphaned_captures() -> None:
    """Stores captured payloads that a crash left if their run failed, and discards the rest.

    A folder is left if a run was closed on another host. While the payload store is unreachable it waits until the
    payloads would have expired.
    """
    for folder in _folders():
        run_id = int(folder.name.removeprefix("run-").removesuffix(".captured"))
        run = Run.objects.filter(pk=run_id).first()
        if run is not None and run.is_open:
            continue
        with suppress(FileNotFoundError, BlockingIOError), (folder / "lock").open("w") as lock:
            # Another process of this host may be at work on it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if run is not None and _is_needed(run):
                if not _store_responds():
                    return
                store_captured(run)
                set_expiry(run, settings.PAYLOAD_RETENTION)
            discard_captured(run_id)


def _is_needed(run: Run) -> bool:
    """Whether the run failed or warned so recently that its payloads could still be read."""
    counters = {"warning_count": run.warning_count, "error_count": run.error_count}
    return not is_clean(Run.Status(run.status), counters) and (
        run.finished_at is not None and run.finished_at + settings.PAYLOAD_RETENTION > database_now()
    )


def _store_responds() -> bool:
    """Whether the payload store responds."""
    try:
        object_size(f"{FOLDER}probe")
    except (FileNotFoundError, ClientError):
        return True
    except (OSError, BotoCoreError):
        return False
    return True


def _write_metadata(metadata_file: Path, metadata: CapturedPayload) -> None:
    """Writes the metadata completely or not at all: a partial file would block the end of the run. Raises OSError."""
    draft = metadata_file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(metadata)))
    draft.replace(metadata_file)


def _read_metadata(metadata_file: Path) -> CapturedPayload:
    return CapturedPayload(**json.loads(metadata_file.read_text()))


def _store(run: Run, metadata: CapturedPayload, body: Path) -> None:
    if not Payload.objects.filter(pk=metadata.id, status=Payload.Status.STORED).exists():
        is_new = not Payload.objects.filter(pk=metadata.id).exists()
        try:
            with body.open("rb") as stream:
                store_payload(
                    run,
                    kind=metadata.kind,
                    name=metadata.name,
                    content_type=metadata.content_type,
                    stream=stream,
                    sequence=metadata.sequence,
                    # An interrupted upload has its own row, which ends as lost.
                    payload_id=uuid.UUID(metadata.id) if is_new else None,
                )
        except OSError as error:
            raise PayloadNotStored(f"it could not be read: {error.strerror}") from error
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

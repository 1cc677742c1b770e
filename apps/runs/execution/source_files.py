"""Source files of a run: claims files before they are read, and moves or deletes them after the run has succeeded."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from enum import Enum, auto

from django.db import transaction
from django.db.models.functions import Now

from apps.runs.log.run_log import RunLog
from apps.runs.log.shipper import LeaseLost
from apps.runs.models import Run, SourceFile
from apps.services.connectors.base import ConnectorError, FileInfo
from apps.services.connectors.files.after_run import FileAction, file_action
from apps.services.connectors.files.file_choice import files_text

logger = logging.getLogger(__name__)

# How long a file is remembered after it was listed last; a folder may be unavailable for a while.
RETENTION = timedelta(days=7)
# How exact the time of the last listing is.
_LISTING_PRECISION = timedelta(days=1)
# Rows that are updated or deleted at once.
_ROWS_AT_ONCE = 500
# Files that could not be moved or deleted before the rest is left to the next run.
_MAX_FAILURES = 20


class _Choice(Enum):
    """What the run does with a file."""

    READ = auto()
    # An earlier run has read it, but not moved or deleted it.
    ACT = auto()
    # An earlier run has read it.
    KNOWN = auto()
    # Another run is reading it.
    BUSY = auto()


class SourceFiles:
    """Claims of a run on the files of its source. A dry run only looks up what it would claim."""

    def __init__(self, run: Run, log: RunLog) -> None:
        options = run.service.source_options
        self._run = run
        self._log = log
        self._only_new = bool(options.get("only_new"))
        self._has_action = bool(options.get("after"))
        self._folder_url = run.service.source_connection.url if run.service.source_connection else ""
        self._left_out = {_Choice.KNOWN: 0, _Choice.BUSY: 0}
        self._listed_count = 0

    @classmethod
    def of(cls, run: Run, log: RunLog, keys: Collection[str] | None) -> SourceFiles | None:
        """None for runs that read all files: a replay, a run of some records, a service without these options."""
        options = run.service.source_options
        if keys is not None or run.replay_of_id or not (options.get("only_new") or options.get("after")):
            return None
        connection = run.service.source_connection
        return cls(run, log) if connection and connection.kind == connection.Kind.FILE else None

    def claim(self, files: Sequence[FileInfo]) -> Collection[str]:
        self._listed_count += len(files)
        by_key = {self._key(file.name): file for file in files}
        choices = self._log.read_from_database(lambda: self._choose(by_key))
        for choice in choices.values():
            if choice in self._left_out:
                self._left_out[choice] += 1
        return {by_key[key].name for key, choice in choices.items() if choice is _Choice.READ}

    def renew(self, file: FileInfo) -> bool:
        row = SourceFile.objects.filter(service=self._run.service_id, key=self._key(file.name))
        is_known = self._log.read_from_database(row.filter(read_version=file.version).exists)
        if is_known and self._only_new:
            self._left_out[_Choice.KNOWN] += 1
            self.release(file)
            return False
        mine = row.claimed_by_run(self._run)
        self._log.read_from_database(lambda: mine.update(claimed_version=file.version))
        return True

    def release(self, file: FileInfo) -> None:
        mine = SourceFile.objects.claimed_by_run(self._run).filter(key=self._key(file.name))
        self._log.read_from_database(lambda: mine.update(claimed_by=None))

    def finish(self) -> None:
        texts = {
            _Choice.KNOWN: "already read by an earlier run",
            _Choice.BUSY: "another run of the service is reading them",
        }
        for choice, number in self._left_out.items():
            if number:
                logger.info("%s left out: %s", files_text(number), texts[choice])
        # An empty folder may be one that is not mounted.
        if self._listed_count and not self._run.is_dry_run:
            self._log.read_from_database(self._forget_gone)

    def _key(self, name: str) -> str:
        return hashlib.blake2b(f"{self._folder_url}\0{name}".encode(), digest_size=16).hexdigest()

    def _choose(self, by_key: dict[str, FileInfo]) -> dict[str, _Choice]:
        known = SourceFile.objects.filter(service=self._run.service_id, key__in=by_key)
        rows = {row.key: row for row in known.with_claims(self._run)}
        choices = {key: self._choice(rows.get(key), file) for key, file in by_key.items()}
        if self._run.is_dry_run:
            return choices
        known.filter(listed_at__lt=Now() - _LISTING_PRECISION).update(listed_at=Now())
        wanted = [key for key, choice in choices.items() if choice in (_Choice.READ, _Choice.ACT)]
        return choices | self._claim(wanted, by_key) if wanted else choices

    def _claim(self, wanted: list[str], by_key: dict[str, FileInfo]) -> dict[str, _Choice]:
        """Claims those of the wanted files that are still free. All runs create and lock rows in the same order."""
        run = self._run
        new = [
            SourceFile(
                service_id=run.service_id,
                key=key,
                name=by_key[key].name,
                claimed_by_id=run.pk,
                claimed_version=by_key[key].version,
                listed_at=Now(),
            )
            for key in wanted
        ]
        with transaction.atomic():
            SourceFile.objects.bulk_create(new, ignore_conflicts=True)
            files = SourceFile.objects.filter(service=run.service_id, key__in=wanted)
            rows = list(files.with_claims(run).select_for_update(of=("self",)).order_by("pk"))
            choices = {row.key: self._choice(row, by_key[row.key]) for row in rows}
            free = [row for row in rows if choices[row.key] in (_Choice.READ, _Choice.ACT)]
            changed = [row for row in free if row.claimed_version != by_key[row.key].version]
            for row in changed:
                row.claimed_version = by_key[row.key].version
            SourceFile.objects.bulk_update(changed, ("claimed_version",))
            files.filter(pk__in=[row.pk for row in free]).exclude(claimed_by=run).update(claimed_by=run)
        # A row that has just been deleted belonged to a run that moved the file.
        return dict.fromkeys(wanted, _Choice.BUSY) | choices

    def _choice(self, row: SourceFile | None, file: FileInfo) -> _Choice:
        if row is None:
            return _Choice.READ
        if row.is_busy:
            return _Choice.BUSY
        if row.read_version == file.version:
            if row.is_action_due and self._has_action:
                return _Choice.ACT
            if self._only_new:
                return _Choice.KNOWN
        return _Choice.READ

    def _forget_gone(self) -> None:
        gone = SourceFile.objects.filter(service=self._run.service_id, listed_at__lt=Now() - RETENTION)
        while keys := list(gone.values_list("pk", flat=True)[:_ROWS_AT_ONCE]):
            SourceFile.objects.filter(pk__in=keys).delete()


def has_file_actions(run: Run) -> bool:
    """Whether the run, which has succeeded, has files to move or to delete."""
    return bool(run.service.source_options.get("after")) and SourceFile.objects.claimed_by_run(run).exists()


def act_on_files(run: Run, token: uuid.UUID, log: RunLog, check: Callable[[], None]) -> None:
    """Moves or deletes the files that the run has read, and those that an earlier one has left.

    They are recorded as read before, so that no later run reads them again if this worker dies. `check` is called
    before each file and raises if the run must stop. Raises LeaseLost and ConnectorError.
    """
    log.read_from_database(lambda: _record_read(run, token, log))
    with file_action(run.service, run.pk) as act:
        if act is not None:
            _act_on_due_files(act, run, log, check)


def _act_on_due_files(act: FileAction, run: Run, log: RunLog, check: Callable[[], None]) -> None:
    failures = 0
    last = 0
    due = SourceFile.objects.claimed_by_run(run).filter(is_action_due=True).order_by("pk")
    while batch := log.read_from_database(lambda: list(due.filter(pk__gt=last)[:_ROWS_AT_ONCE])):  # noqa: B023
        last = batch[-1].pk
        done: list[int] = []
        try:
            for row in batch:
                check()
                if _try_action(act, row):
                    done.append(row.pk)
                else:
                    failures += 1
                if failures >= _MAX_FAILURES:
                    logger.warning("The other files stay as well; the next run tries again")
                    return
        finally:
            log.read_from_database(lambda: _forget_actions(run, done))  # noqa: B023


def _try_action(act: FileAction, row: SourceFile) -> bool:
    """Moves or deletes the file; False if that failed, which is logged."""
    try:
        act(row.name, row.read_version)
    except ConnectorError as error:
        logger.warning("The run has succeeded, but a file stays where it is: %s", error)
        return False
    return True


def _record_read(run: Run, token: uuid.UUID, log: RunLog) -> None:
    with transaction.atomic():
        if not run.count(token, **log.counters()):
            raise LeaseLost
        SourceFile.objects.record_read(run)


def _forget_actions(run: Run, done: Sequence[int]) -> None:
    rows = SourceFile.objects.filter(pk__in=done)
    if run.service.source_options.get("only_new"):
        rows.update(is_action_due=False, claimed_by=None)
    else:
        rows.delete()

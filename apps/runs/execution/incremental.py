"""Incremental pulls: the value of `{since}` in a run, and in the next one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError

from apps.runs.models import Run
from apps.services.connectors.base import Record
from apps.services.definition.http_options import HttpSource
from apps.services.definition.options import read_source
from apps.services.definition.since import (
    MAX_SINCE_LENGTH,
    Since,
    check_since,
    earlier,
    in_spelling_of,
    json_value,
    moment_of,
    sort_key,
    utc_text,
)
from apps.services.models import Service

logger = logging.getLogger(__name__)

# Clocks differ by less.
_CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class NextSince:
    """The value of `{since}` that the next run starts with."""

    service_id: int
    before: str
    after: str

    def save(self) -> None:
        """Stores the value, unless a person or another run has changed it since the start of the run."""
        Service.objects.filter(pk=self.service_id, since=self.before).update(since=self.after)


class IncrementalPull:
    """The start of the pull of one run; without effect if the source does not use `{since}`."""

    def __init__(self, run: Run, *, is_resync: bool) -> None:
        self._run = run
        self._options = None if run.replay_of_id else since_options(run.service)
        self._before = run.service.since
        self._is_resync = is_resync
        self._override = str(run.options.get("since") or "")
        self._start = self._start_of_pull() if self._options else ""
        # The greatest value in the records.
        self._maximum = ""
        self._pulled_count = 0

    @property
    def value(self) -> Any:
        """The value of `{since}`, None if there is none."""
        is_time = self._options is not None and self._options.is_run_start
        return json_value(self._start, is_time=is_time) if self._start else None

    def log_start(self) -> None:
        options = self._options
        if options is None:
            return
        if not self._start:
            logger.info("{since} has no value yet: everything is pulled")
            return
        reason = "the first value"
        if self._override:
            reason = "an option of this run"
        elif self._is_resync:
            reason = "the first value, because records are sent again"
        elif self._before:
            overlap = options.overlap_seconds
            reason = (
                f"{self._before} minus {overlap:,} s" if overlap else "as the last successful run left it"
            )
        logger.info("{since} is %s (%s)", self._start, reason)
        moment, started_at = moment_of(self._start), self._run.started_at
        if moment and started_at and moment > started_at + _CLOCK_TOLERANCE:
            logger.warning(
                "{since} is in the future: the source may return nothing. Correct it in the settings of the service."
            )

    def observe(self, records: Iterable[Record]) -> None:
        """Compares the values of pulled records."""
        options = self._options
        if options is None or options.is_run_start:
            return
        for record in records:
            self._pulled_count += 1
            try:
                found = options.from_.search(record)
            except (JMESPathError, RecursionError):
                continue
            if isinstance(found, bool) or not isinstance(found, str | int | float):
                continue
            text = str(found).strip()
            if not text or len(text) > MAX_SINCE_LENGTH or "\0" in text:
                continue
            if not self._maximum or sort_key(text) > sort_key(self._maximum):
                self._maximum = text

    def next(self) -> NextSince | None:
        """What the next run starts with if this one succeeded; None if that does not change. Logs it."""
        run, options = self._run, self._options
        if options is None or run.is_dry_run or self._is_resync or "record_id" in run.options:
            return None
        known = self._before or options.first
        if self._override and not (known and sort_key(self._override) <= sort_key(known)):
            logger.info(
                "{since} of the next run stays %s: this run may have left out earlier records",
                known or "empty",
            )
            return None
        after = self._after(options)
        if not after or (self._before and sort_key(after) <= sort_key(self._before)):
            return None
        logger.info("{since} of the next run: %s", after)
        return NextSince(run.service_id, self._before, after)

    def _start_of_pull(self) -> str:
        options = self._options
        if options is None:
            return ""
        if self._override:
            return self._override
        return start_of_pull(options, "" if self._is_resync else self._before)

    def _after(self, options: Since) -> str:
        started_at = self._run.started_at
        if started_at is None:
            return ""
        if options.is_run_start:
            return utc_text(started_at)
        if self._pulled_count and not self._maximum:
            logger.warning(
                "No record has a value at “%s” (since.from): {since} of the next run does not change",
                options.from_.text,
            )
        moment = moment_of(self._maximum)
        if moment and moment > started_at:
            if moment > started_at + _CLOCK_TOLERANCE:
                logger.warning(
                    "The greatest value at “%s”, %s, is in the future; the start of this run counts instead",
                    options.from_.text,
                    self._maximum,
                )
            return in_spelling_of(self._maximum, started_at)
        return self._maximum


def start_of_pull(options: Since, before: str) -> str:
    """The value of `{since}` in a run, empty if there is none; `before` is what the last successful run left."""
    if before and options.is_run_start and moment_of(before) is None:
        logger.warning("The stored value of {since}, %s, is not a time; the first value counts", before)
        before = ""
    return earlier(before, options.overlap_seconds) if before else options.first


def since_options(service: Service) -> Since | None:
    """The options of `{since}`, None if the source does not use it or is invalid."""
    connection = service.source_connection
    if connection is None:
        return None
    try:
        options = read_source(connection.kind, service.source_options, auth_header=connection.custom_header)
    except ValidationError:
        return None
    is_used = isinstance(options, HttpSource) and "since" in options.placeholders
    return options.since if is_used and isinstance(options, HttpSource) else None


def checked_since(service: Service, text: str) -> str:
    """The value of `{since}` for one run. Raises ValidationError for `since`."""
    options = since_options(service)
    if options is None:
        raise ValidationError({"since": [_("The source of the service does not use {since}; remove it.")]})
    try:
        return check_since(text, is_time=options.is_run_start)
    except ValueError as error:
        raise ValidationError({"since": [str(error)]}) from None

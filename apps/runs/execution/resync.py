"""Resync: a new run that is limited to some records of an earlier run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.runs.execution.queue import queue_run
from apps.runs.execution.replay import check_replay
from apps.runs.models import Record, RecordSelection, Run
from apps.runs.models.run_queryset import RunQuerySet
from apps.runs.records.keys import key_text
from apps.services.models import Service

MAX_KEYS = 10_000
# Keys that an error lists.
_MAX_LISTED = 10

type Origin = Literal["stored", "source"]


class IdempotencyKeyConflict(Exception):
    """The idempotency key belongs to `run`, which another request started."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.pk)
        self.run = run


def queue_resync(
    original: Run,
    *,
    user: Any,
    keys: Iterable[object] = (),
    outcome: Record.Outcome | None = None,
    origin: Origin | None = None,
    is_dry_run: bool = False,
    idempotency_key: str | None = None,
) -> Run:
    """Queues a run for the records of `original` with these keys, or with this outcome.

    They come from the stored pull payloads (`origin` "stored", the default where they can be read) or are pulled
    again ("source"). While such a run is open, a repeated call returns it. A call with the idempotency key of an
    earlier one returns its run. Raises ValidationError with the invalid fields (`run`, `keys`, `outcome`, `from`,
    `service`), and IdempotencyKeyConflict.
    """
    _check_original(original)
    with transaction.atomic():
        # One resync of a service after the other: the second of two clicks finds the run of the first.
        Service.objects.select_for_update(no_key=True).get(pk=original.service_id)
        # Before the checks: since then, payloads may have expired.
        if idempotency_key is not None and (earlier := _run_of(idempotency_key, original, user)) is not None:
            if earlier.is_dry_run == is_dry_run and _matches_request(
                earlier, original, keys, outcome, origin
            ):
                return earlier
            raise IdempotencyKeyConflict(earlier)
        chosen = _keys_with(original, outcome) if outcome is not None else _checked_keys(original, keys)
        replay_of = _stored_run(original, origin)
        open_resyncs = _open_resyncs(original).filter(is_dry_run=is_dry_run)
        same = open_resyncs.filter(retry_of=original, replay_of=replay_of, selection__keys=chosen)
        if (existing := same.first()) is not None:
            return existing
        if not is_dry_run:
            _check_not_being_sent(open_resyncs, chosen)
        return _queue_limited_run(
            original, chosen, idempotency_key, user=user, replay_of=replay_of, is_dry_run=is_dry_run
        )


def refusal_of_stored(original: Run) -> str | None:
    """Why the records of a run cannot come from stored pull payloads; None if they can."""
    try:
        _find_stored(original)
    except ValidationError as error:
        return " ".join(error.messages)
    return None


def _check_original(original: Run) -> None:
    if original.service.is_reported:
        raise ValidationError({"service": _("The service runs elsewhere; send the records again there.")})
    if original.is_open:
        raise ValidationError(
            {"run": _("Run %(run)s is still open; wait until it has ended.") % {"run": original.pk}}
        )


def _queue_limited_run(original: Run, keys: list[str], idempotency_key: str | None, **how: Any) -> Run:
    run = queue_run(
        original.service,
        trigger=Run.Trigger.RETRY,
        options={name: value for name, value in original.options.items() if name != "record_id"},
        idempotency_key=idempotency_key,
        retry_of=original,
        **how,
    )
    if run.retry_of_id != original.pk:
        # Started by another route at the same time.
        raise IdempotencyKeyConflict(run)
    RecordSelection.objects.create(run=run, keys=keys)
    return run


def _run_of(idempotency_key: str, original: Run, user: Any) -> Run | None:
    runs = Run.objects.filter(service=original.service_id, started_by=user, idempotency_key=idempotency_key)
    return runs.first()


def _open_resyncs(original: Run) -> RunQuerySet:
    """The resyncs of the service, without automatic retries that wait until they are due."""
    resyncs = Run.objects.open().filter(service=original.service_id, selection__isnull=False)
    return resyncs.exclude(status=Run.Status.QUEUED, due_at__isnull=False)


def _check_not_being_sent(open_resyncs: RunQuerySet, keys: Iterable[str]) -> None:
    """Raises ValidationError if one of the resyncs may send one of the records at the same time."""
    chosen = set(keys)
    for run in open_resyncs.select_related("selection"):
        if common := chosen.intersection(run.selection.keys):
            message = ngettext(
                "Run %(run)s is sending record %(keys)s again; wait until it has ended.",
                "Run %(run)s is sending records %(keys)s again; wait until it has ended.",
                len(common),
            )
            raise ValidationError({"run": message % {"run": run.pk, "keys": _listed(sorted(common))}})


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_MAX_LISTED]) + (" …" if len(keys) > _MAX_LISTED else "")


def _matches_request(
    run: Run, original: Run, keys: Iterable[object], outcome: Record.Outcome | None, origin: Origin | None
) -> bool:
    """Whether a request for these records of `original` has started the run."""
    selected = RecordSelection.objects.filter(run=run).values_list("keys", flat=True).first()
    if selected is None or run.retry_of_id != original.pk:
        return False
    if origin is not None and (origin == "stored") != (run.replay_of_id is not None):
        return False
    if outcome is None:
        return {key_text(key) for key in keys} - {""} == set(selected)
    records = Record.objects.filter(run=original, outcome=outcome)
    found = set(records.values_list("key", flat=True)[: MAX_KEYS + 1])
    # The records may be deleted already.
    return not found or found == set(selected)


def _stored_run(original: Run, origin: Origin | None) -> Run | None:
    """The run whose stored pull payloads contain the records, None to pull them again."""
    if origin == "source":
        return None
    try:
        return _find_stored(original)
    except ValidationError as error:
        if origin is None:
            return None
        text = _("%(reason)s Pull the records again (“source”).") % {"reason": " ".join(error.messages)}
        raise ValidationError({"from": text}) from None


def _find_stored(original: Run) -> Run:
    """Raises ValidationError."""
    try:
        check_replay(original.service, original)
    except ValidationError:
        if original.replay_of is None:
            raise
    else:
        return original
    # A run from stored payloads may have stored none of its own.
    check_replay(original.service, original.replay_of)
    return original.replay_of


def _keys_with(original: Run, outcome: Record.Outcome) -> list[str]:
    records = Record.objects.filter(run=original, outcome=outcome).order_by("key")
    keys = list(records.values_list("key", flat=True)[: MAX_KEYS + 1])
    if not keys:
        raise ValidationError(
            {
                "outcome": _("Run %(run)s has no records with the outcome “%(outcome)s”.")
                % {"run": original.pk, "outcome": outcome.slug}
            }
        )
    if len(keys) > MAX_KEYS:
        raise ValidationError(
            {
                "outcome": _(
                    "More than %(max)s records have this outcome. Resync some of them by their keys, or run the "
                    "service again."
                )
                % {"max": f"{MAX_KEYS:,}"}
            }
        )
    return keys


def _checked_keys(original: Run, keys: Iterable[object]) -> list[str]:
    chosen = sorted({key_text(key) for key in keys} - {""})
    if not chosen:
        raise ValidationError({"keys": _("No record is selected; select at least one.")})
    if len(chosen) > MAX_KEYS:
        raise ValidationError(
            {"keys": _("Too many records; select at most %(max)s.") % {"max": f"{MAX_KEYS:,}"}}
        )
    known = set(Record.objects.filter(run=original, key__in=chosen).values_list("key", flat=True))
    if unknown := [key for key in chosen if key not in known]:
        message = ngettext(
            "Run %(run)s has no record %(keys)s.", "Run %(run)s has no records %(keys)s.", len(unknown)
        )
        raise ValidationError({"keys": message % {"run": original.pk, "keys": _listed(unknown)}})
    return chosen

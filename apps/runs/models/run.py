"""Runs: claim, lease, counters, end and cancellation."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from apps.audit.models import Action
from apps.audit.recording import record_event
from apps.runs.models.run_queryset import RunQuerySet
from apps.services.models import Script, Service

# Time that a worker owns a run without a heartbeat; the shipper renews it every few seconds.
LEASE = timedelta(seconds=60)
IS_OPEN = Q(status__in=["queued", "running"])
HAS_WARNINGS = Q(warning_count__gt=0)
# Columns that the summary aggregates and filters; its index contains them, so that it reads no rows.
SUMMARY_COLUMNS = ("status", "trigger", "warning_count", "error_count", "pulled_count", "pushed_count")


class Run(models.Model):
    """One run (sync) of a service: trigger, status, times and counters."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")  # Waits for a worker.
        RUNNING = "running", _("Running")  # A worker holds its lease.
        SUCCEEDED = "succeeded", _("Succeeded")  # Reached its end, perhaps with warnings.
        FAILED = "failed", _("Failed")  # Stopped by an error.
        CANCELLED = "cancelled", _("Cancelled")  # Stopped by a person.
        LOST = "lost", _("Lost")  # Its worker died.

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("Manual")  # A person, in the console or on the command line.
        SCHEDULE = "schedule", _("Schedule")  # The scheduler.
        API = "api", _("API")  # A client with a token.
        RETRY = "retry", _("Retry or rerun")  # Repeats another run, `retry_of`; see `trigger_label`.

    OPEN = (Status.QUEUED, Status.RUNNING)

    # Several indexes below begin with this column.
    service = models.ForeignKey(
        Service, models.PROTECT, related_name="runs", db_index=False, verbose_name=_("service")
    )
    script = models.ForeignKey(Script, models.PROTECT, null=True, blank=True, verbose_name=_("script"))
    retry_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="retries", verbose_name=_("retry of")
    )
    # Run whose stored pull payloads are the source.
    replay_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="replays", verbose_name=_("replay of")
    )

    trigger = models.CharField(_("trigger"), max_length=10, choices=Trigger)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    # Time of the schedule that this run is for; null for all other runs.
    scheduled_for = models.DateTimeField(_("scheduled for"), null=True, blank=True)
    # Given by an API client, so that a repeated request starts one run.
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - null = none given

    # Options of this run alone: those of `RunOptions` that are set.
    options = models.JSONField(_("options"), default=dict, blank=True)
    store_pull = models.BooleanField(_("Store pull payloads"), default=False)
    store_push = models.BooleanField(_("Store push payloads"), default=False)
    store_script = models.BooleanField(_("Store custom script payloads"), default=False)
    is_dry_run = models.BooleanField(_("Dry run"), default=False)

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.QUEUED)
    queued_at = models.DateTimeField(_("queued"), db_default=Now())
    # 1, plus one for each automatic retry.
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    # Not to be claimed earlier; null = at once.
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    # Time when the workers were last notified.
    sent_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    # The worker. Each of its writes proves the token first.
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(_("worker"), max_length=200, blank=True)

    pulled_count = models.PositiveBigIntegerField(_("pulled"), default=0)
    pushed_count = models.PositiveBigIntegerField(_("pushed"), default=0)
    refused_count = models.PositiveBigIntegerField(_("refused"), default=0, db_default=0)
    warning_count = models.PositiveBigIntegerField(_("warnings"), default=0)
    error_count = models.PositiveBigIntegerField(_("errors"), default=0)
    # First error in one sentence, and its line.
    error = models.TextField(_("error"), blank=True)
    error_sequence = models.PositiveBigIntegerField(null=True, blank=True)

    # Seconds in each step: {"pull": 1.5, "script": 0.2, "push": 3.1}.
    step_seconds = models.JSONField(_("time in each step"), default=dict, blank=True)

    # Hold: until when, why and by whom log and payloads are retained.
    held_until = models.DateTimeField(_("held until"), null=True, blank=True)
    hold_reason = models.CharField(_("reason for the hold"), max_length=500, blank=True)
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("held by"),
    )

    # Seal of the log: number of lines, whether they are complete, and the reason if not.
    line_count = models.PositiveBigIntegerField(_("lines"), default=0)
    is_complete = models.BooleanField(_("log complete"), default=False)
    lost_line_count = models.PositiveBigIntegerField(_("lines lost"), default=0)
    lost_reason = models.CharField(max_length=200, blank=True)
    # Lines left out from the middle of a log beyond its limit.
    omitted_line_count = models.PositiveBigIntegerField(_("lines left out"), default=0)
    # CRC-32 of the spool; null until sealed.
    log_checksum = models.PositiveBigIntegerField(null=True, blank=True)

    # Whether records of the run are stored, and the bytes of its record file that are in the database.
    has_records = models.BooleanField(default=False, db_default=False)
    record_offset = models.PositiveBigIntegerField(default=0, db_default=0)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        permissions = [
            ("start_run", "Can start runs"),
            ("cancel_run", "Can cancel runs"),
            ("hold_run", "Can hold runs (exclude them from deletion)"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["service", "scheduled_for"], name="run_slot_once"),
            models.UniqueConstraint(
                fields=["service", "started_by", "idempotency_key"], name="run_idempotency_key_once"
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_token__isnull=False, lease_until__isnull=False),
                name="run_running_is_leased",
            ),
            models.CheckConstraint(
                condition=IS_OPEN | Q(finished_at__isnull=False), name="run_ended_has_finished_at"
            ),
        ]
        indexes = [
            # The summary: WHERE service_id = … AND started_at >= … ORDER BY started_at DESC, aggregated from the
            # index alone.
            models.Index(fields=["service", "-started_at", *SUMMARY_COLUMNS], name="run_service_started"),
            # The same over all services.
            models.Index(fields=["started_at"], name="run_started"),
            # The summary by status, and the last run of a service.
            models.Index(fields=["service", "status", "-started_at"], name="run_service_status_started"),
            # The summary by trigger, and by runs with warnings: rare ones among millions.
            models.Index(fields=["service", "trigger", "-started_at"], name="run_service_trigger_started"),
            models.Index(
                "service", F("started_at").desc(), name="run_service_warned", condition=HAS_WARNINGS
            ),
            # Latest runs of a service by number: WHERE service_id = … ORDER BY id DESC LIMIT 20.
            models.Index(fields=["service", "-id"], name="run_service_latest"),
            # Lists of the API by status or trigger, newest first; successful scheduled runs are frequent and found
            # without an index.
            models.Index(
                "status", F("id").desc(), name="run_status_latest", condition=~Q(status="succeeded")
            ),
            models.Index(
                "trigger", F("id").desc(), name="run_trigger_latest", condition=~Q(trigger="schedule")
            ),
            # Retention of records: WHERE has_records AND finished_at < ….
            models.Index(fields=["finished_at"], name="run_records", condition=Q(has_records=True)),
            # Lost runs and the home page: WHERE status IN ('queued', 'running').
            models.Index(fields=["status", "lease_until"], name="run_open", condition=IS_OPEN),
        ]

    def __str__(self) -> str:
        return _("Run %(number)s") % {"number": self.pk}

    def claim(self, worker: str) -> uuid.UUID | None:
        """Claims the run for execution and returns the lease token; None if it is claimed already, not due, or must
        wait.
        """
        token = uuid.uuid4()
        with transaction.atomic():
            if self.is_automatic and not self._may_start():
                return None
            claimed = Run.objects.filter(
                Q(due_at=None) | Q(due_at__lte=Now()), pk=self.pk, status=Run.Status.QUEUED
            ).update(
                status=Run.Status.RUNNING,
                started_at=Now(),
                lease_token=token,
                lease_until=Now() + LEASE,
                worker=worker,
            )
        return token if claimed else None

    def _may_start(self) -> bool:
        """Whether the service allows the run to start now; locks its row, so that no other run starts at the same
        time.
        """
        service = Service.objects.select_for_update(no_key=True).only("overlap").get(pk=self.service_id)
        others = Run.objects.running().filter(service=service)
        return service.overlap == Service.Overlap.ALLOW or not others.exists()

    def take_over(self, worker: str) -> uuid.UUID | None:
        """Takes over the lease of a run that lost its worker; None if another worker was faster, or if the worker was
        suspended within a transaction, which the database ends soon.
        """
        token = uuid.uuid4()
        mine = {"lease_token": token, "lease_until": Now() + LEASE, "worker": worker}
        lost = Run.objects.lost().filter(pk=self.pk)
        with transaction.atomic():
            is_free = lost.select_for_update(skip_locked=True).values_list("pk").first() is not None
            return token if is_free and lost.update(**mine) else None

    def count(self, token: uuid.UUID, **counters: Any) -> bool:
        """Writes counters of a running run; False if the lease is lost."""
        return bool(self._leased(token).update(**counters))

    def finish(self, token: uuid.UUID, status: Run.Status, **outcome: Any) -> bool:
        """Ends the run under its lease; False and no change if the lease is lost."""
        ended = {"status": status, "finished_at": Now(), "lease_token": None, "lease_until": None}
        return bool(self._leased(token).update(**ended, **outcome))

    def request_cancel(self, user: Any = None) -> bool:
        """Asks a running run to stop, ends a queued one at once; False if it has ended already."""
        with transaction.atomic():
            is_cancelled = Run.objects.filter(pk=self.pk, status=Run.Status.QUEUED).update(
                status=Run.Status.CANCELLED,
                finished_at=Now(),
                cancel_requested_at=Now(),
                cancel_requested_by=user,
                is_complete=True,
            ) or Run.objects.filter(pk=self.pk, status=Run.Status.RUNNING).update(
                cancel_requested_at=Coalesce(F("cancel_requested_at"), Now()), cancel_requested_by=user
            )
            if is_cancelled and user is not None:
                name = self.audit_name(self.pk, self.service)
                record_event(Action.CANCELLED, user=user, subject=self, name=name)
        return bool(is_cancelled)

    @staticmethod
    def audit_name(run_id: int, service: Service) -> str:
        """What the audit log calls a run, in every language."""
        return f"#{run_id} {service.slug}"

    def _leased(self, token: uuid.UUID) -> RunQuerySet:
        return Run.objects.filter(
            pk=self.pk, status=Run.Status.RUNNING, lease_token=token, lease_until__gte=Now()
        )

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_automatic(self) -> bool:
        """Whether no person started it: a scheduled run, or a retry that waits for its time."""
        is_retry = self.trigger == self.Trigger.RETRY and self.due_at is not None
        return is_retry or self.trigger == self.Trigger.SCHEDULE

    @property
    def trigger_label(self) -> str:
        """Label of the trigger; for a retry, it says whether the system or a person repeats the run."""
        if self.trigger != self.Trigger.RETRY:
            return str(self.Trigger(self.trigger).label)
        return str(_("Automatic retry") if self.is_automatic else _("Rerun"))

    @property
    def duration(self) -> timedelta | None:
        """Time from start to end; None if it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    @property
    def stores(self) -> tuple[str, ...]:
        """Kinds of payload that this run stores: "pull", "script", "push"."""
        switches = {"pull": self.store_pull, "script": self.store_script, "push": self.store_push}
        return tuple(kind for kind, is_on in switches.items() if is_on)

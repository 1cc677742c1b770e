from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from apps.services.models import Script, Service
from apps.services.user_access import hidden_service_ids

# How long a worker owns a run without a word from it; the heartbeat renews it every 10 s.
LEASE = timedelta(seconds=60)
# What nobody asked for by hand: slots of the schedule, and retries that wait for their time.
AUTOMATIC = Q(trigger="schedule") | Q(trigger="retry", due_at__isnull=False)
IS_OPEN = Q(status__in=["queued", "running"])
WARNED = Q(warning_count__gt=0)
# What the summary adds up and filters by; in its index, so that it need not read the rows of many thousand runs.
ADDED_UP = ("status", "trigger", "warning_count", "error_count", "pulled_count", "pushed_count")


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: Any) -> Self:
        """The runs of the services that `user` may know of."""
        if user.is_active and user.is_superuser:
            # All of them. A subquery over all services would lead the planner away from the indexes.
            return self
        if not user.is_active or not user.has_perm("services.view_service"):
            return self.none()
        hidden = hidden_service_ids(user)
        return self.exclude(service__in=hidden) if hidden else self

    def open(self) -> Self:
        """Queued or running."""
        return self.filter(status__in=Run.OPEN)

    def running(self) -> Self:
        return self.filter(status=Run.Status.RUNNING)

    def started_since(self, cutoff: datetime) -> Self:
        """Started at or after `cutoff`. What is queued counts by the time it was queued."""
        return self.filter(Q(started_at__gte=cutoff) | Q(started_at=None, queued_at__gte=cutoff))

    def lost(self) -> Self:
        """Running by name, but the lease ran out by the database's clock."""
        return self.running().filter(lease_until__lt=Now())

    def claimable(self) -> Self:
        """Queued, due, and with no run of the service going on that they have to wait for."""
        others = Run.objects.running().filter(service=OuterRef("service"))
        return self.filter(Q(due_at=None) | Q(due_at__lte=Now()), status=Run.Status.QUEUED).exclude(
            AUTOMATIC & ~Q(service__overlap=Service.Overlap.ALLOW) & Exists(others)
        )

    def unclaimed(self) -> Self:
        """Not claimed for a minute, and not sent to the broker within it: the message may be gone."""
        return self.claimable().filter(sent_at__lt=Now() - timedelta(seconds=60))

    def newly_claimable(self) -> Self:
        """Sent to the broker in vain: only since then they became due, or the run before them ended."""
        ended_since = Run.objects.filter(service=OuterRef("service"), finished_at__gte=OuterRef("sent_at"))
        return self.claimable().filter(AUTOMATIC, Q(due_at__gt=F("sent_at")) | Exists(ended_since))


class Run(models.Model):
    """One run (sync) of a service: who started it, how it went, what it counted."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")  # Waits for a worker.
        RUNNING = "running", _("Running")  # A worker holds its lease.
        SUCCEEDED = "succeeded", _("Succeeded")  # Came to its end, perhaps with warnings.
        FAILED = "failed", _("Failed")  # Stopped by an error.
        CANCELLED = "cancelled", _("Cancelled")  # Stopped by a person.
        LOST = "lost", _("Lost")  # Its worker died.

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("Manual")  # A person, in the admin or on the command line.
        SCHEDULE = "schedule", _("Schedule")  # The scheduler's tick.
        API = "api", _("API")  # A token.
        RETRY = "retry", _("Retry")  # Takes up another run, `retry_of`.

    OPEN = (Status.QUEUED, Status.RUNNING)

    # Several indexes below begin with it; one of its own would only be written.
    service = models.ForeignKey(
        Service, models.PROTECT, related_name="runs", db_index=False, verbose_name=_("service")
    )
    script = models.ForeignKey(Script, models.PROTECT, null=True, blank=True, verbose_name=_("script"))
    retry_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="retries", verbose_name=_("retry of")
    )
    # The run whose stored pull payloads stand in for the source.
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
    # The slot of the schedule; null for runs that somebody started.
    scheduled_for = models.DateTimeField(_("scheduled for"), null=True, blank=True)
    # Given by an API client, so that a repeated request starts one run.
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - null = none given

    # The source's own options as changed for this run: page_size, max_attempts, record_id.
    options = models.JSONField(_("options"), default=dict, blank=True)
    store_pull = models.BooleanField(_("Store pull payloads"), default=False)
    store_push = models.BooleanField(_("Store push payloads"), default=False)
    store_script = models.BooleanField(_("Store custom script payloads"), default=False)
    is_dry_run = models.BooleanField(_("Dry run"), default=False)

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.QUEUED)
    queued_at = models.DateTimeField(_("queued"), db_default=Now())
    # 1, and one more with each automatic retry.
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    # Not to be claimed before; null = at once.
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    # When the broker's bell was last rung.
    sent_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    # Who executes it. Every write of the worker proves the token first.
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(_("worker"), max_length=200, blank=True)

    pulled_count = models.PositiveBigIntegerField(_("pulled"), default=0)
    pushed_count = models.PositiveBigIntegerField(_("pushed"), default=0)
    warning_count = models.PositiveBigIntegerField(_("warnings"), default=0)
    error_count = models.PositiveBigIntegerField(_("errors"), default=0)
    # The first error, in one sentence, and the line where it stands.
    error = models.TextField(_("error"), blank=True)
    error_sequence = models.PositiveBigIntegerField(null=True, blank=True)

    # Seconds spent in each step: {"pull": 1.5, "script": 0.2, "push": 3.1}.
    step_seconds = models.JSONField(_("time in each step"), default=dict, blank=True)

    # Kept longer than others, payloads and log: until when, why, by whom.
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

    # The log's seal: how many lines there are, whether that is all of them, and if not, why.
    line_count = models.PositiveBigIntegerField(_("lines"), default=0)
    is_complete = models.BooleanField(_("log complete"), default=False)
    lost_line_count = models.PositiveBigIntegerField(_("lines lost"), default=0)
    lost_reason = models.CharField(max_length=200, blank=True)
    # Lines left out on purpose, from the middle of a log that grew beyond its limit.
    omitted_line_count = models.PositiveBigIntegerField(_("lines left out"), default=0)
    # CRC-32 of the spool's bytes; null until sealed.
    log_checksum = models.PositiveBigIntegerField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        permissions = [
            ("start_run", "Can start runs"),
            ("cancel_run", "Can cancel runs"),
            ("hold_run", "Can keep runs longer"),
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
            # The summary: WHERE service_id = … AND started_at >= … ORDER BY started_at DESC, added up from it alone.
            models.Index(fields=["service", "-started_at", *ADDED_UP], name="run_service_started"),
            # The same over all services.
            models.Index(fields=["started_at"], name="run_started"),
            # The summary by status, and the last run of a service.
            models.Index(fields=["service", "status", "-started_at"], name="run_service_status_started"),
            # The summary by trigger, and of runs with warnings: rare ones are found among millions.
            models.Index(fields=["service", "trigger", "-started_at"], name="run_service_trigger_started"),
            models.Index("service", F("started_at").desc(), name="run_service_warned", condition=WARNED),
            # A service's latest runs by number: WHERE service_id = … ORDER BY id DESC LIMIT 20.
            models.Index(fields=["service", "-id"], name="run_service_latest"),
            # The API's lists by status or trigger, newest first; most runs succeed by schedule, and are soon found.
            models.Index(
                "status", F("id").desc(), name="run_status_latest", condition=~Q(status="succeeded")
            ),
            models.Index(
                "trigger", F("id").desc(), name="run_trigger_latest", condition=~Q(trigger="schedule")
            ),
            # The sweeper and the home page: WHERE status IN ('queued', 'running').
            models.Index(fields=["status", "lease_until"], name="run_open", condition=IS_OPEN),
        ]

    def __str__(self) -> str:
        return _("Run %(number)s") % {"number": self.pk}

    def claim(self, worker: str) -> uuid.UUID | None:
        """Take the run for execution: its lease token; None where it is taken, not due, or waits for another run."""
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
        """Whether the service lets the run start now; its row stays locked, so that no other starts meanwhile."""
        service = Service.objects.select_for_update(no_key=True).only("overlap").get(pk=self.service_id)
        others = Run.objects.running().filter(service=service)
        return service.overlap == Service.Overlap.ALLOW or not others.exists()

    def take_over(self, worker: str) -> uuid.UUID | None:
        """Take the lease of a run that lost its worker, to close it: None where somebody was quicker."""
        token = uuid.uuid4()
        mine = {"lease_token": token, "lease_until": Now() + LEASE, "worker": worker}
        return token if Run.objects.lost().filter(pk=self.pk).update(**mine) else None

    def count(self, token: uuid.UUID, **counters: Any) -> bool:
        """Write counters while the run goes on; False where the lease is no longer ours."""
        return bool(self._leased(token).update(**counters))

    def finish(self, token: uuid.UUID, status: Run.Status, **outcome: Any) -> bool:
        """End the run under its lease; False where the lease is no longer ours, and nothing is written."""
        ended = {"status": status, "finished_at": Now(), "lease_token": None, "lease_until": None}
        return bool(self._leased(token).update(**ended, **outcome))

    def request_cancel(self, user: Any = None) -> bool:
        """Ask a running run to stop, end a queued one at once; False where it has ended already."""
        ended = Run.objects.filter(pk=self.pk, status=Run.Status.QUEUED).update(
            status=Run.Status.CANCELLED,
            finished_at=Now(),
            cancel_requested_at=Now(),
            cancel_requested_by=user,
            is_complete=True,
        )
        return bool(ended) or bool(
            Run.objects.filter(pk=self.pk, status=Run.Status.RUNNING).update(
                cancel_requested_at=Coalesce(F("cancel_requested_at"), Now()), cancel_requested_by=user
            )
        )

    def _leased(self, token: uuid.UUID) -> RunQuerySet:
        return Run.objects.filter(
            pk=self.pk, status=Run.Status.RUNNING, lease_token=token, lease_until__gte=Now()
        )

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_automatic(self) -> bool:
        """Whether nobody asked for it by hand: a slot of the schedule, or a retry that waits for its time."""
        is_retry = self.trigger == self.Trigger.RETRY and self.due_at is not None
        return is_retry or self.trigger == self.Trigger.SCHEDULE

    @property
    def duration(self) -> timedelta | None:
        """From start to finish; None while it has not done both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    @property
    def stores(self) -> tuple[str, ...]:
        """The kinds of payload that this run keeps: of "pull", "script", "push"."""
        switches = {"pull": self.store_pull, "script": self.store_script, "push": self.store_push}
        return tuple(kind for kind, is_on in switches.items() if is_on)

"""Incidents: what is or was wrong with a service, and who was notified when."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from apps.alerts.models.channel import Channel
from apps.runs.models import Run
from apps.services.models import Service
from apps.services.user_access import hidden_service_ids

# Sentences of events that have no error of their own.
_REASONS = {
    "late": _(
        "A scheduled time has passed by more than 2 minutes, and no run was queued; check the scheduler."
    ),
    "no_success": _("No run has succeeded for longer than the rule allows."),
    "refused": _("The destination refused more records than the rule allows."),
    "incomplete": _("Lines of the log are missing."),
    "paused": _("The schedule was paused after consecutive failures; turn it on once the cause is fixed."),
}


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def visible_to(self, user: Any) -> Self:
        """Incidents of the services that `user` may see, and those of the system."""
        if user.is_active and user.is_superuser:
            return self
        if not user.is_active or not user.has_perm("services.view_service"):
            return self.none()
        hidden = hidden_service_ids(user)
        return self.exclude(service__in=hidden) if hidden else self

    def change_count(self, since: datetime) -> int:
        """How often these incidents were opened or closed since then."""
        counts = self.aggregate(
            opened=models.Count("pk", filter=Q(opened_at__gte=since)),
            closed=models.Count("pk", filter=Q(closed_at__gte=since)),
        )
        return int(counts["opened"] + counts["closed"])


class Incident(models.Model):
    """One continuous failure of a service or the system, from its first event until its end."""

    class Kind(models.TextChoices):
        FAILED = "failed", _("Run failed")
        LATE = "late", _("Late")  # A scheduled time has passed without a run.
        LOST = "lost", _("Run lost")
        NO_SUCCESS = "no_success", _("No successful run")
        REFUSED = "refused", _("Records refused")
        PROBLEM = "problem", _("Problem")  # New or reopened; closed at once.
        INCOMPLETE = "incomplete", _("Log incomplete")
        PAUSED = "paused", _("Schedule paused")
        EXPIRY_LAG = "expiry_lag", _("Expired payloads not deleted")
        DOCTOR = "doctor", _("System check failed")  # `subject` is the check.

    kind = models.CharField(_("event"), max_length=10, choices=Kind)
    # Distinguishes incidents of one kind: the title of a problem, the name of a check.
    subject = models.CharField(_("subject"), max_length=200, blank=True)

    # Null: the system.
    service = models.ForeignKey(
        Service,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="incidents",
        db_index=False,
        verbose_name=_("service"),
    )
    # The run that opened the incident. No constraint: runs are deleted earlier.
    run = models.ForeignKey(
        Run,
        models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("run"),
    )
    # Further runs with the same event.
    further_run_count = models.PositiveIntegerField(_("further runs"), default=0)
    # The error in one sentence, as the log has it; `reason` adds what the kind says.
    detail = models.TextField(_("reason"), blank=True)
    # Path of the page that shows it.
    url = models.CharField(max_length=500, blank=True)

    # Whether the last event was a failure; false in an open incident only while it is unstable.
    is_failing = models.BooleanField(default=True)
    is_unstable = models.BooleanField(_("unstable"), default=False)

    # Since when something is wrong, such as the last success.
    since = models.DateTimeField(_("since"))
    opened_at = models.DateTimeField(_("opened"))
    last_event_at = models.DateTimeField(_("last event"))
    # Last change between failing and recovered.
    changed_at = models.DateTimeField()
    reminded_at = models.DateTimeField(_("last reminder"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        constraints = [
            models.UniqueConstraint(
                fields=["service", "kind", "subject"],
                condition=Q(closed_at=None, service__isnull=False),
                name="incident_open_once",
            ),
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(closed_at=None, service=None),
                name="incident_open_once_system",
            ),
        ]
        indexes = [
            # Changes of one service within an hour: WHERE service_id = … AND kind = … AND opened_at >= ….
            models.Index(fields=["service", "kind", "-opened_at"], name="incident_service_kind"),
            # Open incidents: WHERE closed_at IS NULL.
            models.Index(fields=["opened_at"], name="incident_open", condition=Q(closed_at=None)),
            # The list: ORDER BY opened_at DESC, id DESC.
            models.Index(fields=["-opened_at", "-id"], name="incident_newest"),
        ]

    def __str__(self) -> str:
        return str(self.label)

    def add_event(self, now: datetime, *, is_run: bool) -> bool:
        """Adds a further failure, and counts it if it is a run; False if the incident is closed."""
        changed = {} if self.is_failing else {"is_failing": True, "changed_at": now}
        added = (
            Incident.objects.open()
            .filter(pk=self.pk)
            .update(last_event_at=now, further_run_count=F("further_run_count") + int(is_run), **changed)
        )
        self.is_failing = True
        return bool(added)

    def close(self, now: datetime) -> bool:
        """Closes the incident; False if it is closed already."""
        closed = (
            Incident.objects.open()
            .filter(pk=self.pk)
            .update(closed_at=now, changed_at=now, is_failing=False, is_unstable=False)
        )
        self.closed_at = now
        return bool(closed)

    def set_unstable(self, now: datetime, *, is_failing: bool) -> None:
        self._update(is_unstable=True, is_failing=is_failing, changed_at=now)

    def set_stable(self) -> None:
        self._update(is_unstable=False)

    def set_recovered(self, now: datetime) -> None:
        """An unstable incident stays open until it is stable."""
        self._update(is_failing=False, changed_at=now)

    def set_reminded(self, now: datetime) -> None:
        self._update(reminded_at=now)

    def _update(self, **columns: Any) -> None:
        for name, value in columns.items():
            setattr(self, name, value)
        self.save(update_fields=list(columns))

    @property
    def label(self) -> Any:
        """What happened in a few words; a lazy text."""
        if self.kind == self.Kind.PROBLEM:
            return _("Problem reopened") if self.subject == "reopened" else _("New problem")
        label = self.Kind(self.kind).label
        return format_lazy("{kind}: {subject}", kind=label, subject=self.subject) if self.subject else label

    @property
    def reason(self) -> Any:
        """The reason in one sentence; a lazy text, except for errors from a log."""
        return self.reason_with(self.detail)

    def reason_with(self, detail: str) -> Any:
        """The reason with another detail than that of the log."""
        sentence = _REASONS.get(self.kind, "")
        if detail and sentence:
            return format_lazy("{sentence} {detail}", sentence=sentence, detail=detail)
        return detail or sentence

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def reference(self) -> str:
        """Name of the incident in deliveries."""
        return f"incident {self.pk}"


class Notice(models.Model):
    """A message about an incident for one channel: sent at once, or later in a summary."""

    class Kind(models.TextChoices):
        OPENED = "opened", _("Opened")
        REMINDER = "reminder", _("Reminder")
        UNSTABLE = "unstable", _("Unstable")
        STABLE = "stable", _("Stable, still failing")
        CLOSED = "closed", _("Closed")

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="notices")
    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="notices", db_index=False, verbose_name=_("channel")
    )
    kind = models.CharField(_("message"), max_length=10, choices=Kind)

    created_at = models.DateTimeField(_("created"))
    # Held back until then: by quiet hours, by maintenance, or as one of too many at once. Null = sent at once.
    held_until = models.DateTimeField(_("held until"), null=True, blank=True)
    # When it was put into the outbox.
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        indexes = [
            # Messages to a channel within a minute: WHERE channel_id = … AND sent_at >= ….
            models.Index(fields=["channel", "sent_at"], name="notice_channel_sent"),
            # Summaries: WHERE sent_at IS NULL AND held_until <= ….
            models.Index(fields=["held_until"], name="notice_held", condition=Q(sent_at=None)),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

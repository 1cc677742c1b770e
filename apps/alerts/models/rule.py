"""Rules: which events of which services are sent to which channels; and maintenance windows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.alerts.models.channel import Channel
from apps.services.models import Service
from apps.services.schedule import validate_timezone


class RuleQuerySet(models.QuerySet["Rule"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def of_service(self, service_id: int | None) -> Self:
        """Active rules that apply to the service, with their channels; None: to the system."""
        rules = self.active().prefetch_related("channels")
        return rules.filter(Q(is_for_all=True) | Q(services=service_id)) if service_id else rules


class Rule(models.Model):
    """Sends the chosen events of some services, or of all, to channels."""

    class Event(models.TextChoices):
        FAILED = "failed", _("Run failed")
        RECOVERED = "recovered", _("Recovered")
        LATE = "late", _("Late (scheduled time missed by more than 2 minutes)")
        LOST = "lost", _("Run lost")
        REFUSED = "refused", _("Records refused")
        PROBLEM = "problem", _("Problem new or reopened")
        INCOMPLETE = "incomplete", _("Log incomplete")
        PAUSED = "paused", _("Schedule paused after failures")
        EXPIRY_LAG = "expiry_lag", _("Expired payloads not deleted")
        DOCTOR = "doctor", _("System check failed")

    name = models.CharField(_("name"), max_length=200)

    # Set with `services`, so that a rule whose services are deleted does not apply to all others.
    is_for_all = models.BooleanField(_("all services"), default=False, editable=False)
    services = models.ManyToManyField(
        Service,
        blank=True,
        related_name="alert_rules",
        verbose_name=_("services"),
        help_text=_("No service: the rule applies to all, also to those that are created later."),
    )
    channels = models.ManyToManyField(Channel, related_name="rules", verbose_name=_("channels"))

    # Names of Event.
    events = models.JSONField(_("events"), default=list, blank=True)
    no_success_for_hours = models.PositiveIntegerField(
        _("no success for (hours)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(8784)],
        help_text=_("Alert if no run has succeeded for this many hours, also for reported services."),
    )
    refused_limit = models.PositiveIntegerField(
        _("refused records allowed"),
        default=0,
        validators=[MaxValueValidator(1_000_000_000)],
        help_text=_("“Records refused” alerts if a run refuses more records than this."),
    )

    quiet_from = models.TimeField(
        _("quiet from"),
        null=True,
        blank=True,
        help_text=_("During quiet hours nothing is sent; one message afterwards sums up what happened."),
    )
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_timezone])
    daily_reminder = models.BooleanField(
        _("daily reminder"), default=False, help_text=_("Remind once a day of an incident that is open.")
    )
    include_record_keys = models.BooleanField(
        _("record keys in messages"),
        default=False,
        help_text=_("Name the keys of refused records. Messages never contain other data of records."),
    )
    is_active = models.BooleanField(_("active"), default=True)

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError by field, each with the reason and what to do."""
        errors: dict[str, Any] = {}
        unknown = [event for event in self.events if event not in self.Event.values]
        if unknown:
            errors["events"] = _("Unknown event “%(name)s”. Allowed: %(names)s.") % {
                "name": unknown[0],
                "names": ", ".join(self.Event.values),
            }
        elif not self.events and not self.no_success_for_hours:
            errors["events"] = _(
                "The rule has no event and would never alert; choose an event, or a number of hours without success."
            )
        if (self.quiet_from is None) != (self.quiet_until is None):
            missing = "quiet_from" if self.quiet_from is None else "quiet_until"
            errors[missing] = _("Quiet hours need both ends; add this time or remove the other.")
        elif self.quiet_from is not None and self.quiet_from == self.quiet_until:
            errors["quiet_until"] = _(
                "Quiet hours from and until the same time are ambiguous; choose another end, or turn the rule off."
            )
        if errors:
            raise ValidationError(errors)

    def set_services(self, services: Collection[Service]) -> None:
        """Applies the rule to these services, without any to all."""
        self.services.set(services)
        self.is_for_all = not services
        self.save(update_fields=["is_for_all"])

    def quiet_end(self, now: datetime) -> datetime | None:
        """End of the quiet hours that `now` falls into, None if it falls into none.

        If the clock shows a time twice, quiet hours begin at the first and end at the second; a time that it skips
        counts as the same time after the change.
        """
        if self.quiet_from is None or self.quiet_until is None:
            return None
        zone = ZoneInfo(self.timezone)
        length = timedelta(days=self.quiet_from > self.quiet_until)
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            # In UTC: times of one zone are compared without their offset.
            start = datetime.combine(day, self.quiet_from, zone).astimezone(UTC)
            last = datetime.combine(day + length, self.quiet_until, zone)
            end = max(last.astimezone(UTC), last.replace(fold=1).astimezone(UTC))
            if start <= now < end:
                return end
        return None


class MaintenanceWindow(models.Model):
    """Time in which alerts of a service are held back; one message afterwards sums them up."""

    service = models.ForeignKey(
        Service, models.CASCADE, related_name="maintenance_windows", verbose_name=_("service")
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("maintenance window")
        verbose_name_plural = _("maintenance windows")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="maintenance_ends_after_start",
                violation_error_message=_("The maintenance ends before it starts; choose a later end."),
            ),
        ]
        indexes = [
            # Of one service at one time: WHERE service_id = … AND ends_at > ….
            models.Index(fields=["service", "ends_at"], name="maintenance_service_end"),
        ]

    def __str__(self) -> str:
        return str(self.service)

"""Services, and what belongs to one: schedule, script and policies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from apps.audit.changes import Values, column_values
from apps.services.schedule import next_scheduled_time, validate_cron, validate_timezone
from apps.services.user_access import hidden_service_ids

if TYPE_CHECKING:
    # The module imports this one.
    from apps.services.models.script import Script

# Time after which a missed scheduled time counts as late.
MAX_SCHEDULE_DELAY = timedelta(minutes=2)


class ServiceQuerySet(models.QuerySet["Service"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def due(self, now: datetime) -> Self:
        """Active services whose next scheduled time has passed."""
        return self.active().filter(next_run_at__lte=now)

    def late(self, now: datetime) -> Self:
        """Services whose scheduled time has passed without a queued run."""
        return self.due(now - MAX_SCHEDULE_DELAY).exclude(kind=Service.Kind.REPORTED)

    def paused(self) -> Self:
        """Services whose schedule is paused after failures."""
        return self.filter(paused_at__isnull=False, is_active=False)

    def visible_to(self, user: Any) -> Self:
        """Services that `user` may see: the rule behind every page and route of services.

        Requires the permission to view services; `not_hidden_from` does not.
        """
        if not user.is_active or not user.has_perm("services.view_service"):
            return self.none()
        return self.not_hidden_from(user)

    def not_hidden_from(self, user: Any) -> Self:
        """Services without groups and services of the user's groups, whatever the user's permissions; for a
        superuser, all.
        """
        if user.is_active and user.is_superuser:
            return self
        hidden = hidden_service_ids(user)
        return self.exclude(pk__in=hidden) if hidden else self


class Service(models.Model):
    """One integration: pulls records from a source, passes them through an optional script, pushes them."""

    class Kind(models.TextChoices):
        INTEGRATION = "integration", _("Integration")  # Synclog runs it.
        REPORTED = "reported", _("Reported")  # It runs elsewhere and reports its runs.

    class Overlap(models.TextChoices):
        SKIP = "skip", _("Skip")  # The scheduled time is left out.
        QUEUE = "queue", _("Queue")  # The new run waits until the open one has ended.
        ALLOW = "allow", _("Run in parallel")  # Both run at the same time.

    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.INTEGRATION)
    slug = models.SlugField(
        _("slug"), max_length=100, unique=True, help_text=_("Name in URLs, YAML files and the API.")
    )
    name = models.CharField(_("name"), max_length=200)

    # Both connections are null for reported services, and only for them.
    source_connection = models.ForeignKey(
        "services.Connection",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="source_services",
        verbose_name=_("source"),
    )
    # The keys of `source:` in YAML without `connection`; apps.services.definition.options reads them.
    source_options = models.JSONField(_("source options"), default=dict, blank=True)
    destination_connection = models.ForeignKey(
        "services.Connection",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="destination_services",
        verbose_name=_("destination"),
    )
    destination_options = models.JSONField(_("destination options"), default=dict, blank=True)
    groups = models.ManyToManyField(
        "auth.Group",
        blank=True,
        verbose_name=_("groups"),
        help_text=_("Groups that may see the service. Empty: everybody who may view services."),
    )

    schedule = models.CharField(
        _("schedule"),
        max_length=200,
        blank=True,
        validators=[validate_cron],
        help_text=_(
            "Cron expression: minute, hour, day, month, weekday, as in */15 * * * *. Empty: no schedule."
        ),
    )
    timezone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        validators=[validate_timezone],
        help_text=_("Time zone of the schedule, such as Europe/London."),
    )
    max_attempts = models.PositiveSmallIntegerField(
        _("maximum attempts"),
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=_("Attempts for one request, including the first."),
    )
    timeout_seconds = models.PositiveIntegerField(
        _("timeout (s)"),
        default=3600,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 3600)],
        help_text=_("A run that takes longer is stopped."),
    )
    is_active = models.BooleanField(
        _("schedule on"),
        default=True,
        help_text=_("Whether the schedule starts runs. Runs can always be started manually."),
    )
    overlap = models.CharField(
        _("overlapping runs"),
        max_length=10,
        choices=Overlap,
        default=Overlap.SKIP,
        help_text=_("What happens at a scheduled time while another run is queued or running."),
    )
    retry_limit = models.PositiveSmallIntegerField(
        _("automatic retries"),
        default=0,
        validators=[MaxValueValidator(20)],
        help_text=_("Start failed and lost runs again, at most this often. 0 = never."),
    )
    pause_after_failures = models.PositiveSmallIntegerField(
        _("pause after failures"),
        default=0,
        validators=[MaxValueValidator(1000)],
        help_text=_("Pause the schedule after this many consecutive failures. 0 = never."),
    )
    capture_on_failure = models.BooleanField(
        _("store payloads on failure"),
        default=False,
        help_text=_("Store the payloads of scheduled runs that fail or log a warning."),
    )
    log_retention_days = models.PositiveIntegerField(
        _("run retention (days)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_600)],
        help_text=_(
            "Delete each run, its log and the list of its payloads this many days after its end. "
            "Empty: as set by LOG_RETENTION_DAYS."
        ),
    )
    track_records = models.BooleanField(
        _("track records"),
        default=True,
        db_default=True,
        help_text=_("Store what becomes of each record, so that it can be found by its key."),
    )
    record_retention_days = models.PositiveIntegerField(
        _("record retention (days)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_600)],
        help_text=_(
            "Delete the history of records this many days after the end of their run. Empty: as set by "
            "RECORD_RETENTION_DAYS."
        ),
    )

    # Advanced by each successful run, see apps.runs.execution.incremental.
    since = models.CharField(
        _("since"),
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text=_("Value of {since} in the next run, before the overlap. Each successful run sets it."),
    )

    # First scheduled time without a queued run, null = none. Set by plan_next_run and the scheduler.
    next_run_at = models.DateTimeField(_("next run"), null=True, blank=True, editable=False)
    # Time when consecutive failures paused the schedule.
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        verbose_name = _("service")
        verbose_name_plural = _("services")
        constraints = [
            models.CheckConstraint(condition=Q(max_attempts__gte=1), name="service_max_attempts_positive"),
            models.CheckConstraint(
                condition=Q(kind="reported")
                | Q(source_connection__isnull=False, destination_connection__isnull=False),
                name="service_integration_has_connections",
            ),
            models.CheckConstraint(condition=Q(timeout_seconds__gte=1), name="service_timeout_positive"),
        ]
        indexes = [
            # The scheduler: WHERE is_active AND next_run_at <= now.
            models.Index(fields=["next_run_at"], name="service_due", condition=Q(is_active=True)),
        ]

    def __str__(self) -> str:
        return self.name

    def plan_next_run(self, now: datetime) -> None:
        """Sets `next_run_at` to the first scheduled time after `now`; a schedule that is on is not paused.

        The caller saves.
        """
        if self.is_active:
            self.paused_at = None
        self.next_run_at = (
            next_scheduled_time(self.schedule, self.timezone, after=now) if self.schedule else None
        )

    def set_active(self, is_active: bool, now: datetime) -> None:
        """Turns the schedule on or off. Runs that were due while it was off are not started later."""
        self.is_active = is_active
        self.plan_next_run(now)
        self.save(update_fields=["is_active", "paused_at", "next_run_at", "updated_at"])

    def set_script(self, source: str, *, author: Any = None) -> Script | None:
        """Makes `source` the current script and returns it; creates a version only if the source differs."""
        with transaction.atomic():
            self.lock()
            current = self.current_script()
            if source == (current.source if current else ""):
                return current
            return self.scripts.create(version=self.latest_version() + 1, source=source, created_by=author)

    def audit_values(self) -> Values:
        """Values for the audit log, with the options of both sides by key and the version of the script."""
        values = column_values(self)
        for side in ("source", "destination"):
            prefix = f"{side}_options."
            for name in [name for name in values if name.startswith(prefix)]:
                values[f"{side}.{name.removeprefix(prefix)}"] = values.pop(name)
        return values | {"script": self.latest_version() or None}

    def lock(self) -> None:
        """Makes others that lock the service wait until the end of the transaction."""
        Service.objects.select_for_update(no_key=True).only("pk").get(pk=self.pk)

    def current_script(self) -> Script | None:
        """Latest version, None if there is none or if it removed the script."""
        latest = self.scripts.order_by("-version").first()
        return latest if latest and latest.source else None

    def secrets(self) -> Iterator[str]:
        """Secrets of both connections, to mask in a log."""
        for system in (self.source_connection, self.destination_connection):
            if system is not None:
                yield from system.secrets()

    def latest_version(self) -> int:
        """Number of the latest version of the script, 0 = none."""
        return self.scripts.aggregate(latest=Max("version"))["latest"] or 0

    @property
    def is_reported(self) -> bool:
        """Whether another program runs it and reports the log."""
        return self.kind == Service.Kind.REPORTED

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)

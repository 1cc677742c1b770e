"""Icons, and badges that show a state as word, shape and colour."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.console.ui.formatting import moment_html, relative_text, schedule_text
from apps.runs.models import Run
from apps.services.models import Connection, Service

# Icon of each status in templates/console/icons.html.
_STATUS_ICONS = {
    Run.Status.QUEUED: "clock",
    Run.Status.RUNNING: "running",
    Run.Status.SUCCEEDED: "check",
    Run.Status.FAILED: "cross",
    Run.Status.CANCELLED: "slash",
    Run.Status.LOST: "question",
}


@cache
def icon(name: str) -> SafeString:
    """An icon, hidden from screen readers: the text beside it says the same."""
    return format_html('<svg class="icon icon-{0}" aria-hidden="true"><use href="#i-{0}"></use></svg>', name)


def status_badge(status: str) -> SafeString:
    """The status of a run as word, shape and colour."""
    known = Run.Status(status)
    return format_html(
        '<span class="badge badge-{}">{}{}</span>', known.value, icon(_STATUS_ICONS[known]), known.label
    )


def never_badge() -> SafeString:
    """Badge of a service without runs."""
    return format_html('<span class="badge badge-never">{}{}</span>', icon("dash"), _("Never ran"))


def active_badge(service: Service) -> SafeString:
    """Whether the schedule of a service is on, off, or paused after failures."""
    if service.is_active:
        return format_html('<span class="state state-on">{}{}</span>', icon("dot"), _("On"))
    text = _("Paused") if service.paused_at else _("Off")
    return format_html('<span class="state state-off">{}{}</span>', icon("pause"), text)


def active_switch(service: Service, url: str) -> SafeString:
    """The same as a switch that posts to `url`."""
    return format_html(
        '<button type="submit" formmethod="post" formaction="{}" class="switch-button" role="switch" '
        'aria-checked="{}" aria-label="{}"><span class="switch"></span></button>',
        url,
        "true" if service.is_active else "false",
        _("Schedule of %(name)s") % {"name": service.name},
    )


def trigger_text(run: Run) -> str:
    """Trigger of a run and the person who started it: "Manual · Ada"."""
    if run.started_by is None:
        return run.trigger_label
    return f"{run.trigger_label} · {run.started_by.get_short_name() or run.started_by.get_username()}"


def flow_html(service: Service) -> SafeString:
    """Source → destination, each with the icon of its kind."""
    if service.source_connection is None or service.destination_connection is None:
        return format_html('<span class="flow muted">{}</span>', _("runs elsewhere, reported here"))
    return format_html(
        '<span class="flow">{}{}{}</span>',
        _flow_end(service.source_connection),
        icon("arrow"),
        _flow_end(service.destination_connection),
    )


def _flow_end(connection: Connection) -> SafeString:
    kind = "folder" if connection.kind == Connection.Kind.FILE else "cloud"
    return format_html(
        '<span class="flow-connection" title="{0}">{1}<span class="flow-name">{0}</span></span>',
        connection.name,
        icon(kind),
    )


def _schedule_text(service: Service) -> str:
    """With the time zone if the schedule names a time of day and the reader's zone differs."""
    text = schedule_text(service.schedule)
    if ":" in text and service.timezone != timezone.get_current_timezone_name():
        return f"{text} ({service.timezone})"
    return text


def next_run_html(service: Service, now: datetime) -> SafeString:
    """ "in 12 min · every 15 minutes"; only the schedule if it is off; the reason if it is paused."""
    if service.kind == Service.Kind.REPORTED:
        return format_html('<span class="muted">{}</span>', _("when reported"))
    if service.paused_at is not None and not service.is_active:
        return format_html(
            '<span class="has-warnings">{}</span><span class="subtext">{}</span>',
            _("paused after failures"),
            moment_html(service.paused_at, now),
        )
    if not service.schedule:
        return format_html('<span class="muted">{}</span>', _("no schedule"))
    text = _schedule_text(service)
    if not service.is_active or service.next_run_at is None:
        return format_html('<span class="muted">{}</span>', text)
    return format_html(
        '<time datetime="{}" title="{}">{}</time><span class="subtext">{}</span>',
        service.next_run_at.isoformat(),
        service.next_run_at.strftime("%Y-%m-%d %H:%M UTC"),
        relative_text(service.next_run_at, now) if service.next_run_at > now else _("due now"),
        text,
    )

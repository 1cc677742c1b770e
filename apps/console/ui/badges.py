"""Icons, and badges that show a state as word, shape and colour."""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache

from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
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
    return _status_badge(status, get_language())


@lru_cache
def _status_badge(status: str, _language: str) -> SafeString:
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
    is_on = "true" if service.is_active else "false"
    label = escape(_("Schedule of %(name)s") % {"name": service.name})
    return SafeString(
        f'<button type="submit" formmethod="post" formaction="{escape(url)}" class="switch-button" role="switch" '
        f'aria-checked="{is_on}" aria-label="{label}"><span class="switch"></span></button>'
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
    source, destination = _flow_end(service.source_connection), _flow_end(service.destination_connection)
    return SafeString(f'<span class="flow">{source}{icon("arrow")}{destination}</span>')


def _flow_end(connection: Connection) -> str:
    kind, name = "folder" if connection.kind == Connection.Kind.FILE else "cloud", escape(connection.name)
    return f'<span class="flow-connection" title="{name}">{icon(kind)}<span class="flow-name">{name}</span></span>'


def _schedule_text(service: Service) -> str:
    """With the time zone if the schedule names a time of day and the reader's zone differs."""
    text = schedule_text(service.schedule)
    if ":" in text and service.timezone != timezone.get_current_timezone_name():
        return f"{text} ({service.timezone})"
    return text


def next_run_html(service: Service, now: datetime) -> SafeString:
    """ "in 12 min · every 15 minutes"; only the schedule if it is off; the reason if it is paused."""
    if service.is_reported:
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

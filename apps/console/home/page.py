"""Home page: what needs attention, what is running, and the recent runs of every service."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import ngettext

from apps.alerts.models import Channel
from apps.console.alerts.open_incidents import open_incidents
from apps.console.home.first_steps import first_steps
from apps.console.problems.rows import problem_panel
from apps.console.ui.run_history import recent_runs, run_history_html
from apps.console.ui.tab import TabState
from apps.runs.models import Run
from apps.runs.monitoring.doctor import run_checks
from apps.services.models import Service

# Rows of each list; the full lists are pages of their own.
MAX_ROWS = 20
# Time after which a waiting run counts as late.
MAX_QUEUE_DELAY = timedelta(seconds=60)


def home_context(user: Any) -> dict[str, Any]:
    """Context of the home page: problems first, then running runs, then all other services."""
    if not user.has_perm("runs.view_run"):
        return {"first_steps": first_steps(user)}
    now = timezone.now()
    failing = list(failing_runs(user)[:MAX_ROWS])
    services = list(late_services(user, now)[:MAX_ROWS])
    waiting = list(waiting_runs(user, now)[:MAX_ROWS])
    paused = list(paused_services(user)[:MAX_ROWS])
    check_results = sorted(run_checks(), key=lambda result: result.is_ok)
    channels = failing_channels(user)
    open_runs = Run.objects.open().visible_to(user).exclude(pk__in=[run.pk for run in waiting])
    shown_runs = list(open_runs.select_related("service", "started_by").order_by("-id")[:MAX_ROWS])
    failed = {run.service_id for run in failing}
    listed = failed | {service.pk for service in (*paused, *services)}
    others = _other_services(user, listed)
    has_runs = failing or waiting or shown_runs or any(row["last"] for row in others)
    return {
        "first_steps": [] if has_runs else first_steps(user),
        "problems": _problems(
            failing=len(failing),
            late=len(services) + len(waiting),
            paused=len(paused),
            channels=len(channels),
            checks=sum(not result.is_ok for result in check_results),
            incidents=len(open_incidents(user).values_list("pk")[:MAX_ROWS]),
        ),
        "problem_panel": problem_panel(user, now),
        "failing_runs": failing,
        "late_services": services,
        "waiting_runs": waiting,
        "paused_services": [service for service in paused if service.pk not in failed],
        "failing_channels": channels,
        "open_runs": shown_runs,
        # What failed needs attention first.
        "tab": TabState.of_runs(failing or shown_runs),
        "check_results": check_results,
        "is_any_listed": bool(listed),
        "other_services": others,
    }


def failing_runs(user: Any) -> QuerySet[Run]:
    """Last runs that failed or were lost, one per service, newest first."""
    latest = Run.objects.filter(service=OuterRef("pk")).order_by("-id")
    # By the status first, so that PostgreSQL looks for the last run of each service only once.
    services = (
        Service.objects.visible_to(user)
        .alias(last_status=Subquery(latest.values("status")[:1]))
        .filter(last_status__in=(Run.Status.FAILED, Run.Status.LOST))
    )
    last_runs = services.annotate(last_run_id=Subquery(latest.values("id")[:1])).values("last_run_id")
    return Run.objects.filter(pk__in=last_runs).select_related("service").order_by("-id")


def late_services(user: Any, now: datetime) -> QuerySet[Service]:
    """Services whose scheduled time has passed without a queued run, the most overdue first."""
    return Service.objects.visible_to(user).late(now).order_by("next_run_at")


def waiting_runs(user: Any, now: datetime) -> QuerySet[Run]:
    """Runs that no worker has claimed in time, although they need not wait."""
    since = now - MAX_QUEUE_DELAY
    return (
        Run.objects.claimable()
        .filter(Q(due_at=None) | Q(due_at__lt=since), queued_at__lt=since)
        .visible_to(user)
        .select_related("service")
        .order_by("queued_at")
    )


def paused_services(user: Any) -> QuerySet[Service]:
    """Services whose schedule is paused after failures."""
    return Service.objects.visible_to(user).paused().order_by("-paused_at")


def failing_channels(user: Any) -> list[Channel]:
    """Channels whose last message was not delivered, for users who may see channels."""
    if not user.has_perm("alerts.view_channel"):
        return []
    return list(Channel.objects.failing().order_by("failing_since")[:MAX_ROWS])


def _other_services(user: Any, listed: set[int]) -> list[dict[str, Any]]:
    services = list(Service.objects.visible_to(user).exclude(pk__in=listed).order_by("name")[:MAX_ROWS])
    recent = recent_runs([service.pk for service in services])
    return [
        {
            "service": service,
            "run_history": run_history_html(recent[service.pk]),
            "last": next(reversed(recent[service.pk]), None),
        }
        for service in services
    ]


def _problems(
    *, failing: int, late: int, paused: int, channels: int, checks: int, incidents: int
) -> list[str]:
    """Problems in short phrases; empty = none. A full list may have more."""
    phrases = (
        (failing, ngettext("%(count)s service failing", "%(count)s services failing", failing)),
        (late, ngettext("%(count)s late", "%(count)s late", late)),
        (paused, ngettext("%(count)s schedule paused", "%(count)s schedules paused", paused)),
        (channels, ngettext("%(count)s channel failing", "%(count)s channels failing", channels)),
        (checks, ngettext("%(count)s check fails", "%(count)s checks fail", checks)),
        (incidents, ngettext("%(count)s open incident", "%(count)s open incidents", incidents)),
    )
    return [text % {"count": f"{count}+" if count >= MAX_ROWS else count} for count, text in phrases if count]

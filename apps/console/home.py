"""The home page: is anything wrong now?"""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, Subquery

from apps.runs.models import Run
from apps.services.models import Service

# Rows of each list; what goes beyond is found in the lists of their own.
MOST_ROWS = 20


def home_context(user: Any) -> dict[str, Any]:
    """Runs that are open now, and services whose last run did not succeed, as far as `user` may know."""
    return {
        "open_runs": Run.objects.open()
        .visible_to(user)
        .select_related("service", "started_by")
        .order_by("-id")[:MOST_ROWS],
        "failing_runs": failing_runs(user)[:MOST_ROWS],
    }


def failing_runs(user: Any) -> Any:
    """The last run of each service, where it failed or was lost; newest first."""
    last_run = Run.objects.filter(service=OuterRef("pk")).order_by("-id").values("id")[:1]
    services = Service.objects.visible_to(user)
    return (
        Run.objects.filter(
            pk__in=services.annotate(last_run_id=Subquery(last_run)).values("last_run_id"),
            status__in=(Run.Status.FAILED, Run.Status.LOST),
        )
        .select_related("service")
        .order_by("-id")
    )

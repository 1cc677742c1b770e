"""First steps of a new installation: a checklist on the home page until there is a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.runs.models import Run
from apps.services.models import Connection, Service


@dataclass(frozen=True)
class Step:
    """One step; without a `url` there is nothing to open yet."""

    title: str
    text: str
    is_done: bool
    # Name of the permission that the user lacks, as on the page of users.
    missing_permission: str = ""
    label: str = ""
    url: str = ""
    is_next: bool = False


def first_steps(user: Any) -> list[Step]:
    """The steps from the first connection to the first log; empty once a run exists."""
    if Run.objects.exists():
        return []
    service = Service.objects.visible_to(user).order_by("kind", "pk").first()
    has_connection = service is not None or Connection.objects.not_hidden_from(user).exists()
    steps = [
        Step(
            _("Add a connection"),
            _(
                "The address of a system, and how to authenticate there. Add one to pull from and one to push to."
            ),
            has_connection,
            "" if user.has_perm("services.add_connection") else "Can add connection",
            _("Add connection"),
            reverse("admin:services_connection_add"),
        ),
        Step(
            _("Add a service"),
            _(
                "What to pull, an optional script, where to push, and when. You can preview each part before saving."
            ),
            service is not None,
            "" if user.has_perm("services.add_service") else "Can add service",
            _("Add service"),
            reverse("admin:services_service_add"),
        ),
        _run_step(user, service),
        Step(
            _("Read its log"),
            _("It opens when the run starts, and refreshes every five seconds until the run ends."),
            False,
            "" if user.has_perm("runs.view_run") else "Can view run",
        ),
    ]
    following = next(number for number, step in enumerate(steps) if not step.is_done)
    return [replace(step, is_next=number == following) for number, step in enumerate(steps)]


def _run_step(user: Any, service: Service | None) -> Step:
    title = _("Run the service")
    if service is not None and service.is_reported:
        text = _("It runs elsewhere, and reports its runs through the API.")
        return Step(
            title, text, False, label=_("Read how"), url=reverse("admin:help_topic", args=["reporting"])
        )
    return Step(
        title,
        _(
            "A run pulls the records, passes them through the script, and pushes them. A dry run pushes nothing."
        ),
        False,
        "" if user.has_perm("runs.start_run") else "Can start runs",
        _("Run service"),
        reverse("admin:services_service_run", args=[service.pk]) if service else "",
    )

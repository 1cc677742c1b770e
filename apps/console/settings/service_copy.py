"""Duplicate a service: the add form with the settings of another service."""

from __future__ import annotations

from typing import Any

from django.forms import model_to_dict
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.settings.service_form import ServiceForm, option_values
from apps.services.models import Service

PARAMETER = "copy_of"


def duplicate_url(service: Service) -> str:
    return f"{reverse('admin:services_service_add')}?{PARAMETER}={service.pk}"


def copied_service(request: HttpRequest) -> Service | None:
    """The service that the add form copies, None if it adds a new one. Raises Http404."""
    number = request.GET.get(PARAMETER)
    if number is None:
        return None
    # Nine digits fit in every database.
    is_number = number.isascii() and number.isdecimal() and len(number) < 10
    services = Service.objects.visible_to(request.user)
    service = services.filter(pk=number).first() if is_number else None
    if service is None:
        raise Http404(_("Service not found."))
    return service


def values_of_copy(service: Service) -> dict[str, Any]:
    """Initial values of the form: those of `service`, with another name and slug, and with the schedule off.

    The value of {since} belongs to the runs of the original.
    """
    values = model_to_dict(service, ServiceForm.Meta.fields) | option_values(service)
    name = _("%(name)s (copy)")
    room = _length("name") - len(name % {"name": ""})
    return values | {
        "name": name % {"name": service.name[:room]},
        "slug": _free_slug(service.slug),
        "is_active": False,
        "since": "",
    }


def _free_slug(slug: str) -> str:
    """`slug` with the suffix -copy, -copy-2 …, the first that no service has."""
    # Room for the longest suffix.
    start = f"{slug[: _length('slug') - 15]}-copy"
    used = set(Service.objects.filter(slug__startswith=start).values_list("slug", flat=True))
    candidates = (start if number == 1 else f"{start}-{number}" for number in range(1, len(used) + 2))
    return next(candidate for candidate in candidates if candidate not in used)


def _length(name: str) -> int:
    field: Any = Service._meta.get_field(name)
    return int(field.max_length)

"""Data of forms as browsers send it."""

from typing import Any

from apps.console.settings.service_form import ServiceForm
from apps.services.models import Service


def form_data_of(service: Service) -> dict[str, Any]:
    """Returns the form data that a browser sends for the unchanged settings page of `service`."""
    form = ServiceForm(instance=service)
    data = {}
    for bound in form:
        value = bound.value()
        shown = bound.field.prepare_value(value)
        if shown is not None and shown is not False:
            data[bound.html_name] = "on" if shown is True else shown
    return {
        name: value.replace("\n", "\r\n") if isinstance(value, str) else value for name, value in data.items()
    }

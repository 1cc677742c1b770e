"""Time zone page: the zone in which a user sees times, on every computer."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.ui.time_zone import browser_zone
from apps.services.models import UserTimeZone
from apps.services.schedule import validate_timezone


class TimeZoneForm(forms.Form):
    """Name of a zone; empty = that of the browser."""

    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        required=False,
        max_length=64,
        validators=[validate_timezone],
        help_text=gettext_lazy("Empty: as the browser."),
        widget=forms.TextInput(
            {
                "list": "time-zones",
                "placeholder": "Europe/London",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )


def time_zone_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The form; a valid submission redirects to the same page."""
    user: Any = request.user
    current = getattr(user, "time_zone", None) or ""
    form = TimeZoneForm(request.POST or None, initial={"time_zone": current}, label_suffix="")
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["time_zone"]
        UserTimeZone.choose(user, name)
        messages.success(
            request,
            _("Times are shown in the time zone %(zone)s.") % {"zone": name}
            if name
            else _("Times are shown in the time zone of the browser."),
        )
        return HttpResponseRedirect(reverse("admin:time_zone"))
    context = {
        **site.each_context(request),
        "title": _("Time zone"),
        "form": form,
        "browser_zone": browser_zone(request),
        "zones": sorted(available_timezones() - {"localtime", "Factory"}),
    }
    return TemplateResponse(request, "console/account/time_zone.html", context)

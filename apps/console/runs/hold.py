"""Hold: the form that retains a run longer, or releases it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.console.ui.filters import ListFilter
from apps.runs.models import Run
from apps.runs.payloads.hold import MAX_HOLD, hold_run, release_run

_USUAL_HOLD = timedelta(days=14)


class HoldForm(forms.Form):
    """End of the hold, and its reason."""

    until = forms.DateTimeField(
        label=_("Hold until"),
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Shown on the page of the run and in its history."),
        max_length=500,
        widget=forms.TextInput,
    )


class HeldFilter(ListFilter):
    """Filter of held runs."""

    title = _("hold")
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("yes", _("Held"))]

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(held_until__gt=Now())


def hold_page(request: HttpRequest, site: AdminSite, run: Run) -> HttpResponse:
    """The form, the history of holds, and the release; every submission redirects to the log."""
    if not request.user.has_perm("runs.hold_run"):
        raise PermissionDenied
    now = timezone.now()
    if request.method == "POST" and "release" in request.POST:
        release_run(run, request.user)
        messages.info(request, _("%(run)s is no longer held.") % {"run": run})
        return HttpResponseRedirect(reverse("admin:runs_run_log", args=[run.pk]))
    form = HoldForm(
        request.POST if request.method == "POST" else None, initial=_initial(run), label_suffix=""
    )
    if request.method == "POST" and form.is_valid():
        try:
            hold_run(run, request.user, form.cleaned_data["until"], form.cleaned_data["reason"], now=now)
        except ValidationError as error:
            for field, reasons in error.message_dict.items():
                form.add_error(field, reasons)
        else:
            messages.info(request, _("%(run)s is held.") % {"run": run})
            return HttpResponseRedirect(reverse("admin:runs_run_log", args=[run.pk]))
    context = {
        **site.each_context(request),
        "title": _("Hold"),
        "run": run,
        "form": form,
        "is_held": run.held_until is not None and run.held_until > now,
        "longest": MAX_HOLD.days,
        "history": LogEntry.objects.filter(
            content_type__app_label="runs", content_type__model="run", object_id=str(run.pk)
        ).select_related("user")[:20],
    }
    return TemplateResponse(request, "console/hold_page.html", context)


def _initial(run: Run) -> dict[str, Any]:
    until = run.held_until or timezone.now() + _USUAL_HOLD
    return {"until": timezone.localtime(until), "reason": run.hold_reason}

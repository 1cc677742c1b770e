"""Script versions: the list of all versions, the comparison of two, and restoring an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.paginator import Page, Paginator
from django.db.models import IntegerField, OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.settings.script_diff import DiffLine, diff_lines
from apps.runs.models import Run
from apps.services.models import Service
from apps.services.sandbox.limits import ScriptError
from apps.services.script_versions import VersionConflict, restore_script

PER_PAGE = 25
# Runs of a version that are counted.
MAX_RUN_COUNT = 1000
# Lines of a comparison that are shown at first.
MAX_DIFF_LINES = 2000


class CappedCount(Subquery):
    """Number of the rows of a sliced queryset."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


@dataclass(frozen=True)
class Comparison:
    """Two versions, 0 = no script, and the lines that differ."""

    old: int
    new: int
    lines: list[DiffLine]
    is_cut: bool
    added_count: int
    removed_count: int


def script_versions_page(
    request: HttpRequest, site: AdminSite, service: Service, *, may_restore: bool
) -> HttpResponse:
    """Compares `?old=` and `?new=`; by default the latest version and the one before."""
    latest = service.latest_version()
    context = {
        **site.each_context(request),
        "title": _("Script versions"),
        "service": service,
        "latest": latest,
        "page": _versions(service, request.GET.get("page", "")),
        "comparison": _comparison(request, service, latest) if latest else None,
        "max_run_count": MAX_RUN_COUNT,
        "may_restore": may_restore,
    }
    return TemplateResponse(request, "console/script_versions.html", context)


def restore_version(request: HttpRequest, service: Service, number: int) -> HttpResponse:
    """Restores a version and redirects to the comparison of the new version with the one before."""
    earlier = _version(service, number)
    latest = _number(request.POST.get("latest", ""), default=0)
    try:
        restored = restore_script(service, earlier, request.user, latest=latest)
    except VersionConflict:
        text = _(
            "The script was changed in the meantime, and nothing was restored. Compare the versions, then try again."
        )
        messages.warning(request, text)
    except ScriptError as error:
        headline = str(error).partition("\n")[0]
        text = _("Version %(version)s is invalid, and nothing was restored: %(error)s")
        messages.error(request, text % {"version": number, "error": headline})
    else:
        if restored is None:
            text = _("Version %(version)s is the same as the current script; nothing was changed.")
            messages.info(request, text % {"version": number})
        else:
            text = _("Version %(version)s was restored as version %(new)s.")
            messages.success(request, text % {"version": number, "new": restored.version})
    return HttpResponseRedirect(reverse("admin:services_service_scripts", args=[service.pk]))


def _versions(service: Service, page: str) -> Page[Any]:
    """A page of versions, newest first. Their runs are counted by the index of `Run.script`."""
    runs = Run.objects.filter(script=OuterRef("pk")).order_by().values("pk")[: MAX_RUN_COUNT + 1]
    versions = service.scripts.select_related("created_by").order_by("-version").defer("source")
    annotated = versions.annotate(run_count=CappedCount(runs), is_removal=Q(source=""))
    return Paginator(annotated, PER_PAGE).get_page(page)


def _comparison(request: HttpRequest, service: Service, latest: int) -> Comparison:
    new = _number(request.GET.get("new", ""), default=latest)
    old = _number(request.GET.get("old", ""), default=new - 1)
    lines = diff_lines(*(_version(service, number).source if number > 0 else "" for number in (old, new)))
    is_cut = len(lines) > MAX_DIFF_LINES and "all" not in request.GET
    kinds = [line.kind for line in lines]
    return Comparison(
        old=max(old, 0),
        new=new,
        lines=lines[:MAX_DIFF_LINES] if is_cut else lines,
        is_cut=is_cut,
        added_count=kinds.count("added"),
        removed_count=kinds.count("removed"),
    )


def _number(text: str, *, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else default


def _version(service: Service, number: int) -> Any:
    script = service.scripts.filter(version=number).first()
    if script is None:
        raise Http404(_("The script has no version %(version)s.") % {"version": number})
    return script

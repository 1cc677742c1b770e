"""Run list over all services, and the URLs of one run: log, cancellation, hold, payloads."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from apps.console.log.download import download_ndjson, download_text
from apps.console.log.page import find_matches, log_feed, log_page
from apps.console.log.run_status import FEED_COLUMNS
from apps.console.payloads.links import payload_state
from apps.console.payloads.preview import payload_preview
from apps.console.runs.hold import HeldFilter, hold_page
from apps.console.summary.export import RUN_COLUMNS
from apps.console.summary.page import duration_so_far, run_menu
from apps.console.ui.badges import status_badge, trigger_text
from apps.console.ui.filters import PERIOD_KEYS, PeriodFilter
from apps.console.ui.formatting import count_html, duration_text, moment_html
from apps.console.ui.links import pulled_html, pushed_html, refused_note, row_url
from apps.console.ui.menus import RowMenus, menu_heading
from apps.console.ui.paging import CappedPaginator
from apps.console.ui.preview_text import MAX_BYTES
from apps.console.ui.remembered_period import remember
from apps.console.ui.sorting import IndexedChangeList
from apps.runs.models import Payload, Run
from apps.runs.payloads.audit import record_read
from apps.runs.payloads.reading import PayloadGone, open_payload
from apps.services.models import Service


class RunAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # It takes no parameter at run time.
    """Read-only: runs are written by workers."""

    list_display = (
        "number",
        "service_name",
        "state",
        "trigger_label",
        "started",
        "duration",
        "pulled",
        "pushed",
        "warnings",
        "errors",
    )
    list_display_links = None
    # On a phone each row becomes a card.
    is_stacking = True
    empty_hint = gettext_lazy("Choose a longer period.")
    list_filter = (PeriodFilter, "status", "trigger", HeldFilter)
    list_select_related = ("service", "started_by")
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = CappedPaginator
    # The names only enable the field; get_search_results() defines the search.
    search_fields = ("id__exact", "service__name", "service__slug")
    search_help_text = gettext_lazy("Run number or service")
    # Queued runs first.
    ordering = (F("started_at").desc(nulls_first=True), "-id")
    actions = None
    csv_name = "runs"
    csv_columns = RUN_COLUMNS

    # --- List ---

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """The columns, and a menu of the actions that the user may take."""

        @admin.display(description=menu_heading())
        def menu(run: Run) -> SafeString:
            return run_menu(request, menus, run)

        menus = RowMenus("run")
        return (*self.list_display, menu)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        remember(request, response, PeriodFilter.memory, request.GET.get("period", ""), PERIOD_KEYS)
        return response

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return IndexedChangeList

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        """Within a period, an index finds only the newest runs; the oldest are searched for from the very first."""
        is_whole = PeriodFilter.period_of(request).length is None
        return ("number", "started") if is_whole else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return Run.objects.visible_to(request.user)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """By number, or by words of the name of the service: services are few, and each has an index of its runs."""
        if not search_term.strip():
            return queryset, False
        services = Service.objects.visible_to(request.user)
        for word in search_term.split():
            services = services.filter(Q(name__icontains=word) | Q(slug__icontains=word))
        condition = Q(service__in=list(services.values_list("pk", flat=True)))
        number = search_term.strip().lstrip("#")
        if number.isdecimal() and len(number) <= 18:
            condition |= Q(pk=int(number))
        return queryset.filter(condition), False

    @admin.display(description=gettext_lazy("run"), ordering="id")
    def number(self, run: Run) -> SafeString:
        url = row_url("admin:runs_run_log", run.pk)
        return format_html('<a class="row-name" href="{}">{}</a>', url, run.pk)

    @admin.display(description=gettext_lazy("service"))
    def service_name(self, run: Run) -> SafeString:
        url = row_url("admin:services_service_runs", run.service_id)
        return format_html('<a href="{}">{}</a>', url, run.service.name)

    @admin.display(description=gettext_lazy("status"))
    def state(self, run: Run) -> SafeString:
        return status_badge(run.status)

    @admin.display(description=gettext_lazy("trigger"))
    def trigger_label(self, run: Run) -> str:
        return trigger_text(run)

    # The order of the index; never started is the latest.
    @admin.display(description=gettext_lazy("started"), ordering=F("started_at").asc(nulls_last=True))
    def started(self, run: Run) -> SafeString:
        return moment_html(run.started_at or run.queued_at, timezone.now())

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, run: Run) -> str:
        return duration_text(duration_so_far(run, timezone.now()))

    @admin.display(description=gettext_lazy("pulled"))
    def pulled(self, run: Run) -> SafeString:
        return pulled_html(run)

    @admin.display(description=gettext_lazy("pushed"))
    def pushed(self, run: Run) -> SafeString:
        return format_html("{}{}", pushed_html(run), refused_note(run))

    @admin.display(description=gettext_lazy("warnings"))
    def warnings(self, run: Run) -> SafeString:
        return count_html(run.warning_count, "has-warnings")

    @admin.display(description=gettext_lazy("errors"))
    def errors(self, run: Run) -> SafeString:
        return count_html(run.error_count, "has-errors")

    # --- One run ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:run_id>/log/", view(require_safe(self.log_view)), name="runs_run_log"),
            path("<int:run_id>/log/feed/", view(require_safe(self.feed_view)), name="runs_run_feed"),
            path("<int:run_id>/log/find/", view(require_safe(self.find_view)), name="runs_run_find"),
            path("<int:run_id>/log/text/", view(require_safe(self.text_view)), name="runs_run_text"),
            path("<int:run_id>/log/ndjson/", view(require_safe(self.ndjson_view)), name="runs_run_ndjson"),
            path("<int:run_id>/hold/", view(self.hold_view), name="runs_run_hold"),
            path("<int:run_id>/cancel/", view(require_POST(self.cancel_view)), name="runs_run_cancel"),
            path(
                "<int:run_id>/payloads/<uuid:payload_id>/",
                view(require_safe(self.payload_view)),
                name="runs_run_payload",
            ),
            path(
                "<int:run_id>/payloads/<uuid:payload_id>/preview/",
                view(require_safe(self.preview_view)),
                name="runs_run_preview",
            ),
            *super().get_urls(),
        ]

    def log_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """More details: the live log."""
        run = self._visible(request, run_id, "service", "script", "started_by", "held_by")
        return log_page(request, self.admin_site, run)

    def feed_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return log_feed(request, self._visible(request, run_id, columns=FEED_COLUMNS))

    def find_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return find_matches(request, self._visible(request, run_id))

    def text_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return download_text(request, self._visible(request, run_id))  # type: ignore[return-value] # It streams.

    def ndjson_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        return download_ndjson(request, self._visible(request, run_id))  # type: ignore[return-value] # The same.

    def cancel_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Asks the run to stop after its current page or batch."""
        run = self._visible(request, run_id)
        if not request.user.has_perm("runs.cancel_run"):
            raise PermissionDenied
        if not run.request_cancel(request.user):
            message = _("%(run)s has ended already.")
        elif run.status == Run.Status.QUEUED:
            message = _("%(run)s is cancelled.")
        else:
            message = _("%(run)s is stopping.")
        messages.info(request, message % {"run": run})
        return HttpResponseRedirect(reverse("admin:runs_run_log", args=[run.pk]))

    def hold_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Holds the run, or releases it."""
        return hold_page(request, self.admin_site, self._visible(request, run_id, "service", "held_by"))

    def payload_view(self, request: HttpRequest, run_id: int, payload_id: uuid.UUID) -> Any:
        """Download of a payload; 410 after its expiry."""
        payload = self._payload(request, run_id, payload_id)
        try:
            stream = self._audited(request, payload, payload.size or 0)
        except PayloadGone:
            return self._gone(request, payload)
        response = FileResponse(
            stream, as_attachment=True, filename=payload.name, content_type=payload.content_type
        )
        response["Content-Length"] = str(payload.size)
        return response

    def preview_view(self, request: HttpRequest, run_id: int, payload_id: uuid.UUID) -> HttpResponse:
        """Preview of a payload; 410 after its expiry."""
        payload = self._payload(request, run_id, payload_id)
        try:
            stream = self._audited(request, payload, min(payload.size or 0, MAX_BYTES))
        except PayloadGone:
            return self._gone(request, payload)
        return payload_preview(request, self.admin_site, payload, stream)

    def _payload(self, request: HttpRequest, run_id: int, payload_id: uuid.UUID) -> Payload:
        if not request.user.has_perm("runs.download_payload"):
            raise PermissionDenied
        payloads = Payload.objects.visible_to(request.user).listed().with_state()
        payload = payloads.filter(pk=payload_id, run_id=run_id).select_related("run__service").first()
        if payload is None:
            raise Http404(_("Payload not found."))
        return payload

    def _audited(self, request: HttpRequest, payload: Payload, expected: int) -> Any:
        """The bytes with an entry in the access log. Raises PayloadGone."""
        address = request.META.get("REMOTE_ADDR")
        return record_read(
            payload, open_payload(payload), user=request.user, address=address, expected=expected
        )

    def _gone(self, request: HttpRequest, payload: Payload) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("This file is no longer available"),
            "payload": payload,
            "text": payload_state(payload, timezone.now())[1],
        }
        return TemplateResponse(request, "console/payload_gone.html", context, status=410)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirects to the log, which is the page of a run."""
        if not object_id.isdecimal():
            raise Http404
        return HttpResponseRedirect(reverse("admin:runs_run_log", args=[object_id]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def _visible(
        self, request: HttpRequest, run_id: int, *related: str, columns: tuple[str, ...] = ()
    ) -> Run:
        """The run, if the user may see it; with `columns`, only these."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        runs = Run.objects.visible_to(request.user).only(*columns)
        try:
            return (runs.select_related(*related) if related else runs).get(pk=run_id)
        except Run.DoesNotExist:
            raise Http404(_("Run not found.")) from None

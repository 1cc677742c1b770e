"""The admin site with the pages of the console."""

from functools import partial, wraps
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from apps.console.account.second_factor import lacks_second_factor
from apps.console.account.session_state import session_state
from apps.console.account.time_zone import time_zone_page
from apps.console.account.users import with_protected_users
from apps.console.audit.page import audit_csv, audit_page
from apps.console.help.page import help_page
from apps.console.home.page import home_context
from apps.console.problems.changes import change_problems
from apps.console.problems.page import problem_of_line, problem_page, problems_csv, problems_page
from apps.console.records.page import records_csv, records_page
from apps.console.records.resync import resync_page
from apps.console.search.page import search_page
from apps.console.ui.audited_admin import with_audit
from apps.console.ui.csv_export import with_csv_export
from apps.console.ui.help_links import help_url
from apps.console.ui.lookups import with_guarded_lookups
from apps.console.ui.navigation import navigation


class SynclogAdminSite(AdminSite):
    """Django's admin with Synclog's sidebar and home page."""

    site_header = "Synclog"
    site_title = "Synclog"
    index_title = _("Home")
    site_url = None
    # As on all other pages.
    empty_value_display = "–"
    # Replaced by our own sidebar.
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if getattr(admin_class, "__module__", "").startswith("allauth."):
            # Its tables contain secrets; users have pages of their own for them.
            return
        audited = with_audit(with_protected_users(with_csv_export(admin_class or ModelAdmin)))
        super().register(model_or_iterable, with_guarded_lookups(audited), **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **options: Any) -> Any:
            if self.has_permission(request) and lacks_second_factor(request):
                return redirect("mfa_index")
            return inner(request, *args, **options)

        return guarded

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"]:
            context["navigation"] = navigation(self, request)
            context["help_url"] = help_url(request)
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Built only when a template shows it: Django puts it into the context of every page."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**home_context(request.user), **(extra_context or {})})

    def get_urls(self) -> list[URLResolver | URLPattern]:
        help_view = self.admin_view(partial(help_page, site=self))
        return [
            path("audit/", self.admin_view(require_safe(partial(audit_page, site=self))), name="audit"),
            path("audit/csv/", self.admin_view(require_safe(audit_csv)), name="audit_csv"),
            path("help/", help_view, name="help"),
            path("help/<slug:slug>/", help_view, name="help_topic"),
            path(
                "problems/", self.admin_view(require_safe(partial(problems_page, site=self))), name="problems"
            ),
            path("problems/csv/", self.admin_view(require_safe(problems_csv)), name="problems_csv"),
            path("problems/change/", self.admin_view(require_POST(change_problems)), name="problems_change"),
            path(
                "problems/<int:pk>/",
                self.admin_view(require_safe(partial(problem_page, site=self))),
                name="problems_problem",
            ),
            path(
                "problems/line/<int:run_id>/<int:sequence>/",
                self.admin_view(require_safe(problem_of_line)),
                name="problems_line",
            ),
            path("records/", self.admin_view(partial(records_page, site=self)), name="records"),
            path("records/csv/", self.admin_view(records_csv), name="records_csv"),
            path("records/resync/", self.admin_view(partial(resync_page, site=self)), name="records_resync"),
            path("search/", self.admin_view(require_safe(partial(search_page, site=self))), name="search"),
            path("session/", self.admin_view(require_safe(session_state)), name="session"),
            path("time-zone/", self.admin_view(partial(time_zone_page, site=self)), name="time_zone"),
            *super().get_urls(),
        ]

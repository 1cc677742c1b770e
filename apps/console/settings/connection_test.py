"""Test connection: tests the unsaved values of the connection form, or a stored connection."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from apps.console.settings.edit_conflict_admin import is_deleted
from apps.console.settings.trial_audit import TrialAudit
from apps.console.ui.disconnection import is_disconnected
from apps.runs.trial.connection_trial import try_connection
from apps.services.connectors.connection_test.progress import ConnectionTest
from apps.services.definition.connection_url import without_secrets
from apps.services.models import Connection

# Users who may change services test the connections that they choose for them.
_PERMISSIONS = ("services.change_connection", "services.change_service", "services.add_service")


def test_form(admin: ModelAdmin[Connection], request: HttpRequest) -> HttpResponse:
    """Tests the values of the form, with the stored secrets of the connection `?id=` where none is entered."""
    key = request.GET.get("id")
    stored = admin.get_object(request, key) if key else None
    if key and stored is None and not is_deleted(Connection, key):
        raise Http404(_("Connection not found."))
    may_write = admin.has_change_permission(request, stored) if stored else admin.has_add_permission(request)
    if not may_write:
        raise PermissionDenied
    form: Any = admin.get_form(request, stored, change=stored is not None)(request.POST, instance=stored)
    errors = [
        (form.fields[name].label if name in form.fields else "", messages)
        for name, messages in form.errors.items()
        # A name is not needed for a test.
        if name != "name"
    ]
    if errors:
        return _response(admin, request, {"errors": errors})
    forgets_host_key = form.cleaned_data.get("forget_host_key", False)
    return _tested(admin, request, form.unsaved_connection(), forgets_host_key=forgets_host_key)


def test_chosen(admin: ModelAdmin[Connection], request: HttpRequest, side: str) -> HttpResponse:
    """Tests the connection that is chosen as the source or destination of a service."""
    if not any(request.user.has_perm(permission) for permission in _PERMISSIONS):
        raise PermissionDenied
    number = request.POST.get(f"{side}_connection", "")
    if not number:
        return _response(admin, request, {"errors": [(_("Connection"), [_("Choose a connection first.")])]})
    connection = admin.get_object(request, number)
    if connection is None:
        message = _("The connection was not found; choose another.")
        return _response(admin, request, {"errors": [(_("Connection"), [message])]})
    return _tested(admin, request, connection)


def _tested(
    admin: ModelAdmin[Connection],
    request: HttpRequest,
    connection: Connection,
    *,
    forgets_host_key: bool = False,
) -> HttpResponse:
    what = _("Tested connection (%(url)s)") % {"url": without_secrets(connection.url)}
    audit = TrialAudit(request, connection, str(connection), what)
    test = try_connection(
        connection,
        is_cancelled=lambda: is_disconnected(request),
        forgets_host_key=forgets_host_key,
    )
    audit.complete(_outcome_text(test))
    return _response(admin, request, {"connection": connection, "test": test})


def _outcome_text(test: ConnectionTest) -> str:
    if test.is_cancelled:
        return _("cancelled")
    if test.failed_step is not None:
        return _("failed at %(step)s") % {"step": test.failed_step.name.label}
    return _("succeeded") if test.is_complete else _("not completed")


def _response(admin: ModelAdmin[Connection], request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The result as a fragment of the settings page, otherwise as a page."""
    if "fragment" in request.GET:
        return TemplateResponse(request, "console/settings/connection_test_result.html", context)
    page = {**admin.admin_site.each_context(request), "title": _("Test connection"), **context}
    return TemplateResponse(request, "console/settings/connection_test_page.html", page)

"""Responses for unknown routes, and for errors before or around the views."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from apps.api.problems import problem, unknown_route

_BELOW = "/api/"


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    return unknown_route(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem below /api/, elsewhere Django's page. For example for an unknown host."""
    if request.path_info.startswith(_BELOW):
        return problem(HTTPStatus.BAD_REQUEST, _("The request cannot be parsed."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem below /api/, elsewhere Django's page."""
    if request.path_info.startswith(_BELOW):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, _("Internal error; see the log of Synclog."))
    return defaults.server_error(request)

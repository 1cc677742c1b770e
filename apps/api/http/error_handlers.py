"""Error handlers of the whole site: problem documents below /api/, Django's pages elsewhere."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from apps.api.http.problems import INTERNAL_ERROR, problem_response

_API_PREFIX = "/api/"


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """404 for unknown routes of the API."""
    detail = _("Unknown route; see /api/schema/ for all routes.")
    if not request.path.endswith("/"):
        detail += " " + _("Most routes end with a slash.")
    return problem_response(HTTPStatus.NOT_FOUND, detail)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400, for example for an unknown host."""
    if request.path_info.startswith(_API_PREFIX):
        return problem_response(HTTPStatus.BAD_REQUEST, _("The request cannot be parsed."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if request.path_info.startswith(_API_PREFIX):
        return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, str(INTERNAL_ERROR))
    return defaults.server_error(request)

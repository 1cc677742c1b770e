"""The answers to what reaches no view of ours: no route, or an error before or around the views."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from apps.api.problems import no_such_route, problem

_BELOW = "/api/"


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    return no_such_route(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem below /api/, elsewhere its own page. Such as for a host that is not ours."""
    if request.path_info.startswith(_BELOW):
        return problem(HTTPStatus.BAD_REQUEST, _("The request cannot be read."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem below /api/, elsewhere its own page."""
    if request.path_info.startswith(_BELOW):
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, _("Something went wrong in Synclog; its log says what.")
        )
    return defaults.server_error(request)

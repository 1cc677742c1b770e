"""The answer to what is no route of ours."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.api.problems import no_such_route


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    return no_such_route(request)

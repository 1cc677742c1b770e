"""Response to requests beyond a rate limit."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# The longest wait, that of an account.
_RETRY_AFTER_SECONDS = 600


def too_many_requests(request: HttpRequest) -> HttpResponse:
    response = render(request, "429.html", status=429)
    response["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response

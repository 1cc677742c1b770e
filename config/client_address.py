"""Address of the client behind trusted proxies."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse


def client_address_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Replaces the address of the last proxy by that of its client, counted from the end of X-Forwarded-For.

    A client can send the header itself, but only the trusted proxies append to it.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        addresses = request.headers.get("X-Forwarded-For", "").split(",")
        if len(addresses) >= settings.TRUSTED_PROXIES:
            # Otherwise the address of the proxy remains.
            with suppress(ValueError):
                request.META["REMOTE_ADDR"] = str(ip_address(addresses[-settings.TRUSTED_PROXIES].strip()))
        return get_response(request)

    return handle

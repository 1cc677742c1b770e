"""HTTP client for connectors: authentication, redirects, limits, error messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from io import BytesIO
from typing import cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from django.conf import settings

from apps.audit.masking import MASK
from apps.services.connectors.address_guard import GuardedAdapter, check_host, trusted_certificates
from apps.services.connectors.base import ConnectorError, RunContext
from apps.services.connectors.http import retry_rules
from apps.services.connectors.http.authentication import authentication_of
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.connectors.http.oauth2 import OAuth2Authentication
from apps.services.connectors.http.rate_limit import RateLimit
from apps.services.connectors.http.tls import tls_context
from apps.services.connectors.network_errors import connection_error
from apps.services.connectors.retry import TemporaryError, with_retries
from apps.services.definition.connection_url import HTTP_SCHEMES, without_secrets
from apps.services.models import Connection

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_UNAUTHORIZED = 401
_REDIRECTS = (301, 302, 303, 307, 308)
# Statuses of redirects that are followed with the same method and body.
_METHOD_PRESERVING_REDIRECTS = (307, 308)
_BASE_HEADERS = {
    "Accept": "application/json, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "Synclog",
}
# Headers that are sent to other hosts as well; any other header may contain a credential.
_HARMLESS_HEADERS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "content-type",
    "idempotency-key",
    "user-agent",
}


class HttpClient:
    """Sends requests to the system of one connection for one run."""

    def __init__(self, connection: Connection, context: RunContext) -> None:
        # Whether an attempt of the latest request may have been accepted, although its response is missing.
        self.may_have_arrived = False
        self._home = connection.url
        self._timeout = (connection.connect_timeout, connection.read_timeout)
        self._context = context
        self._authentication = (
            OAuth2Authentication(connection, context, self._request_token)
            if connection.auth == Connection.Auth.OAUTH2
            else authentication_of(connection)
        )
        self._rate_limit = RateLimit(connection, context)
        self._proxies = {"http": connection.proxy, "https": connection.proxy} if connection.proxy else {}
        # Only the system of the connection and its token endpoint get the client certificate.
        without_certificate = tls_context(connection, with_client_certificate=False)
        self._own_adapter = GuardedAdapter(
            tls_context(connection, with_client_certificate=True), without_certificate
        )
        self._other_adapter = GuardedAdapter(without_certificate, without_certificate)
        context.on_abandon += [self._own_adapter.shut_down, self._other_adapter.shut_down]

    def close(self) -> None:
        self._own_adapter.close()
        self._other_adapter.close()

    def connect(self) -> None:
        """Connects to the system of the connection, and sends nothing. Raises ConnectorError."""
        shown = without_secrets(self._home)
        try:
            request = requests.Request("GET", self._home).prepare()
            if self._proxies:
                check_host(urlsplit(self._home).hostname or "")
            self._own_adapter.connect(request, self._timeout[0], self._proxies)
        except requests.RequestException as error:
            raise connection_error(shown, error) from error

    def authenticate(self) -> None:
        """Gets what requests are authenticated with, such as an access token. Raises ConnectorError."""
        self._authentication.headers()

    def send(self, request: HttpRequest) -> HttpResponse:
        """The response, whatever its status; temporary errors are retried. Raises ConnectorError."""
        self.may_have_arrived = False
        try:
            return with_retries(lambda: self._attempt(request), self._context)
        except ConnectorError as error:
            error.may_have_arrived = self.may_have_arrived
            raise

    def head_of(self, request: HttpRequest) -> str:
        """Request line and headers as they would be sent, with masked credentials."""
        credentials = dict.fromkeys(self._authentication.header_names, MASK)
        headers = {**_BASE_HEADERS, **request.headers, **credentials}
        url = without_secrets(self._authentication.masked_url(request.url))
        return "\n".join([f"{request.method} {url}", *(f"{name}: {text}" for name, text in headers.items())])

    def _attempt(self, request: HttpRequest) -> HttpResponse:
        if is_same_system(self._home, request.url):
            self._rate_limit.wait()
        started = time.monotonic()
        try:
            return self._send_and_log(request, started)
        except ConnectorError as error:
            self.may_have_arrived |= error.may_have_arrived
            error.request = request.as_body()
            raise

    def _send_and_log(self, request: HttpRequest, started: float) -> HttpResponse:
        response = self._follow(request)
        _log_response(request, response, started)
        if response.status == _UNAUTHORIZED and self._renew(request, response):
            response = self._follow(request)
            _log_response(request, response, started)
        _raise_if_temporary(request, response)
        return response

    def _renew(self, request: HttpRequest, response: HttpResponse) -> bool:
        """Renews the authentication that the system of the connection rejected; whether it could."""
        if not is_same_system(self._home, response.url) or not self._authentication.renew():
            return False
        logger.info("%s: %s; sent again with a new access token", request, response.status_line)
        self._rate_limit.wait()
        return True

    def _request_token(self, request: HttpRequest) -> HttpResponse:
        """One attempt to get a token, without redirects."""
        started = time.monotonic()
        self._context.check()
        headers = {**_BASE_HEADERS, **request.headers}
        response = self._send_once(request, request.url, headers, trusted=True)
        _log_response(request, response, started)
        _raise_if_temporary(request, response)
        return response

    def _follow(self, request: HttpRequest) -> HttpResponse:
        """Sends the request and follows redirects; after a redirect to another system no credentials are sent."""
        url, trusted = request.url, True
        for hop in range(MAX_REDIRECTS + 1):
            self._context.check()
            trusted = trusted and is_same_system(self._home, url)
            if trusted and hop:
                self._rate_limit.wait()
            response = self._send_once(request, url, self._headers(request, trusted=trusted), trusted=trusted)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            url = self._redirected(request, response, location)
        raise ConnectorError(f"{request} was redirected more than {MAX_REDIRECTS} times.")

    def _redirected(self, request: HttpRequest, response: HttpResponse, location: str) -> str:
        try:
            target = urljoin(response.url, location)
        except ValueError:
            raise ConnectorError(f"{request} redirects to an address that cannot be read.") from None
        if request.method != "GET" and response.status not in _METHOD_PRESERVING_REDIRECTS:
            raise ConnectorError(
                f"{request} redirects to {without_secrets(target)} by {response.status_line}, on which the body "
                "would be lost. Enter the final address in the connection."
            )
        logger.info("%s redirects to %s (%s)", request, without_secrets(target), response.status)
        return target

    def _send_once(
        self, request: HttpRequest, url: str, headers: Mapping[str, str], *, trusted: bool
    ) -> HttpResponse:
        if urlsplit(url).scheme.lower() not in HTTP_SCHEMES:
            raise ConnectorError(
                f"{request} leads to {without_secrets(url)}, which is neither http nor https."
            )
        shown = f"{request.method} {without_secrets(url)}"
        try:
            prepared = requests.Request(request.method, url, headers=headers, data=request.body).prepare()
            # Again, because user and password in a URL of the other system would replace the credentials.
            prepared.headers.update(headers)
            # Last, so that no error contains it.
            prepared.url = self._authentication.url(str(prepared.url), is_trusted=trusted)
            if self._proxies:
                check_host(urlsplit(prepared.url).hostname or "")
            adapter = self._own_adapter if trusted else self._other_adapter
            with adapter.send(
                prepared,
                stream=True,
                timeout=self._timeout,
                verify=trusted_certificates(),
                proxies=self._proxies,
            ) as response:
                content = b"" if response.status_code in _REDIRECTS else self._read(response, shown, request)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise connection_error(shown, error) from error
        return HttpResponse(url, response.status_code, response.reason or "", response.headers, content)

    def _headers(self, request: HttpRequest, *, trusted: bool) -> dict[str, str]:
        headers = {**_BASE_HEADERS, **request.headers}
        if trusted:
            # requests accepts bytes as values; its types do not.
            return {**headers, **cast("dict[str, str]", self._authentication.headers())}
        return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}

    def _read(self, response: requests.Response, shown: str, request: HttpRequest) -> bytes:
        """The decompressed content, at most settings.MAX_RESPONSE_BYTES."""
        if request.max_response_bytes is not None:
            return bytes(response.raw.read1(request.max_response_bytes, decode_content=True))
        limit = settings.MAX_RESPONSE_BYTES
        content = BytesIO()
        declared = response.headers.get("Content-Length", "")
        too_large = declared.isdigit() and int(declared) > limit
        # read1 returns what has arrived, so that a slow sender does not delay the check.
        while not too_large and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
            content.write(chunk)
            too_large = content.tell() > limit
            self._context.check()
        if too_large:
            error = ConnectorError(
                f"The response of {shown} is larger than {limit / 2**20:g} MiB, the limit in memory. Ask "
                "for smaller pages, or raise SYNCLOG_MAX_RESPONSE_MIB."
            )
            error.may_have_arrived = True
            raise error
        return content.getvalue()


def _log_response(request: HttpRequest, response: HttpResponse, started: float) -> None:
    logger.debug(
        "%s: %s, %d bytes in %.2f s",
        request,
        response.status_line,
        len(response.content),
        time.monotonic() - started,
    )


def _raise_if_temporary(request: HttpRequest, response: HttpResponse) -> None:
    """Raises TemporaryError if a retry may succeed."""
    if response.status in request.final_statuses:
        return
    if response.status in request.retried_statuses or retry_rules.is_temporary(
        response.status, response.headers
    ):
        error = TemporaryError(
            _description(request, response),
            retry_after=retry_rules.pause_in(response.status, response.headers),
            response=response.as_body(),
        )
        error.may_have_arrived = retry_rules.may_have_arrived(response.status)
        raise error


def status_error(request: HttpRequest, response: HttpResponse) -> ConnectorError:
    """The error for a response with an unexpected status."""
    return ConnectorError(
        _description(request, response), request=request.as_body(), response=response.as_body()
    )


def is_same_system(home: str, url: str) -> bool:
    """Whether credentials of `home` may be sent to `url`: same host and port, never from https to http."""
    try:
        ours, theirs = _origin(home), _origin(url)
    except ValueError:
        return False
    return ours == theirs or (ours == ("http", theirs[1], 80) and theirs == ("https", ours[1], 443))


def _description(request: HttpRequest, response: HttpResponse) -> str:
    """`GET https://shop/orders: 404 Not Found: {"detail": …`."""
    quoted = response.excerpt
    return f"{request}: {response.status_line}" + (f": {quoted}" if quoted else "")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return (
        scheme,
        (parts.hostname or "").lower().rstrip("."),
        parts.port or (443 if scheme == "https" else 80),
    )

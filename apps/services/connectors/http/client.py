"""HTTP client for connectors: authentication, redirects, limits, error messages."""

from __future__ import annotations

import logging
import re
import time
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from django.conf import settings

from apps.services.connectors.address_guard import GuardedAdapter, trusted_certificates
from apps.services.connectors.base import Body, ConnectorError, RunContext
from apps.services.connectors.formats.documents import charset_of, excerpt
from apps.services.connectors.http import retry_rules
from apps.services.connectors.http.rate_limit import RateLimit
from apps.services.connectors.network_errors import connection_error
from apps.services.connectors.retry import TemporaryError, with_retries
from apps.services.definition.connection_url import HTTP_SCHEMES, without_secrets
from apps.services.models import Connection
from apps.services.secrets import SecretUnavailable

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
# Statuses that keep method and body.
_FAITHFUL_REDIRECTS = (307, 308)
_EXTENSIONS = {
    "application/json": ".json",
    "application/problem+json": ".json",
    "application/xml": ".xml",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
_CHARSET = re.compile(r"[0-9a-z_.-]{1,40}")
_DEFAULT_CHARSETS = ("utf-8", "utf8")
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


@dataclass(frozen=True)
class HttpRequest:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    # Statuses that are not retried.
    final_statuses: Collection[int] = ()

    def __str__(self) -> str:
        return f"{self.method} {without_secrets(self.url)}"

    def as_body(self) -> Body | None:
        return None if self.body is None else Body.of_bytes(self.body, "application/json", ".json")


@dataclass(frozen=True)
class HttpResponse:
    """A response, decompressed; `url` is the address after redirects."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {self.reason}".rstrip()

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        return charset_of(self.headers.get("Content-Type", ""))

    def as_body(self) -> Body:
        content_type = self.content_type or "application/octet-stream"
        extension = _EXTENSIONS.get(content_type, ".json" if content_type.endswith("+json") else ".bin")
        charset = self.charset.lower()
        if _CHARSET.fullmatch(charset) and charset not in _DEFAULT_CHARSETS:
            content_type += f"; charset={charset}"
        return Body.of_bytes(self.content, content_type, extension)


class HttpClient:
    """Sends requests to the system of one connection for one run."""

    def __init__(self, connection: Connection, context: RunContext) -> None:
        # Whether an attempt of the latest request may have been accepted, although its response is missing.
        self.may_have_arrived = False
        self._home = connection.url
        self._timeout = (connection.connect_timeout, connection.read_timeout)
        self._credentials = credentials_of(connection)
        self._context = context
        self._rate_limit = RateLimit(connection, context)
        self._adapter = GuardedAdapter()
        context.on_abandon.append(self._adapter.shut_down)

    def close(self) -> None:
        self._adapter.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """The response, whatever its status; temporary errors are retried. Raises ConnectorError."""
        self.may_have_arrived = False
        try:
            return with_retries(lambda: self._attempt(request), self._context)
        except ConnectorError as error:
            error.may_have_arrived = self.may_have_arrived
            raise

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
        logger.debug(
            "%s: %s, %d bytes in %.2f s",
            request,
            response.status_line,
            len(response.content),
            time.monotonic() - started,
        )
        if response.status not in request.final_statuses and retry_rules.is_temporary(
            response.status, response.headers
        ):
            error = TemporaryError(
                _description(request, response),
                retry_after=retry_rules.pause_in(response.status, response.headers),
                response=response.as_body(),
            )
            error.may_have_arrived = retry_rules.may_have_arrived(response.status)
            raise error
        return response

    def _follow(self, request: HttpRequest) -> HttpResponse:
        """Sends the request and follows redirects; after a redirect to another system no credentials are sent."""
        url, trusted = request.url, True
        for hop in range(MAX_REDIRECTS + 1):
            self._context.check()
            trusted = trusted and is_same_system(self._home, url)
            if trusted and hop:
                self._rate_limit.wait()
            response = self._send_once(request, url, trusted=trusted)
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
        if request.method != "GET" and response.status not in _FAITHFUL_REDIRECTS:
            raise ConnectorError(
                f"{request} redirects to {without_secrets(target)} by {response.status_line}, on which the records "
                "would be lost. Enter the final address in the connection."
            )
        logger.info("%s redirects to %s (%s)", request, without_secrets(target), response.status)
        return target

    def _send_once(self, request: HttpRequest, url: str, *, trusted: bool) -> HttpResponse:
        if urlsplit(url).scheme.lower() not in HTTP_SCHEMES:
            raise ConnectorError(
                f"{request} leads to {without_secrets(url)}, which is neither http nor https."
            )
        shown = f"{request.method} {without_secrets(url)}"
        try:
            prepared = requests.Request(
                request.method, url, headers=self._headers(request, trusted=trusted), data=request.body
            ).prepare()
            with self._adapter.send(
                prepared, stream=True, timeout=self._timeout, verify=trusted_certificates(), proxies={}
            ) as response:
                content = b"" if response.status_code in _REDIRECTS else self._read(response, shown)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise connection_error(shown, error) from error
        return HttpResponse(url, response.status_code, response.reason or "", response.headers, content)

    def _headers(self, request: HttpRequest, *, trusted: bool) -> dict[str, str]:
        headers = {**_BASE_HEADERS, **request.headers}
        if trusted:
            # requests accepts bytes as values; its types do not.
            return {**headers, **cast("dict[str, str]", self._credentials)}
        return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}

    def _read(self, response: requests.Response, shown: str) -> bytes:
        """The decompressed content, at most settings.MAX_RESPONSE_BYTES."""
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


def credentials_of(connection: Connection) -> dict[str, bytes]:
    """The header with the credentials of `connection`. Raises ConnectorError if its secret is not available or
    invalid.
    """
    if connection.auth == Connection.Auth.NONE:
        return {}
    try:
        secret = connection.get_secret().strip("\r\n").encode()
    except SecretUnavailable as error:
        raise ConnectorError(f"Connection {connection.name}: {error}") from None
    if any(byte < 32 or byte == 127 for byte in secret):
        raise ConnectorError(
            f"Connection {connection.name}: its secret contains line breaks or control characters."
        )
    if connection.auth == Connection.Auth.BEARER:
        return {"Authorization": b"Bearer " + secret}
    if connection.auth == Connection.Auth.BASIC:
        return {"Authorization": b"Basic " + b64encode(connection.auth_username.encode() + b":" + secret)}
    return {connection.auth_header: secret}


def _description(request: HttpRequest, response: HttpResponse) -> str:
    """`GET https://shop/orders: 404 Not Found: {"detail": …`."""
    quoted = excerpt(response.content)
    return f"{request}: {response.status_line}" + (f": {quoted}" if quoted else "")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return (
        scheme,
        (parts.hostname or "").lower().rstrip("."),
        parts.port or (443 if scheme == "https" else 80),
    )

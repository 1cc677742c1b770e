"""One request and its answer: sign-in, redirects, limits, and failures in plain words."""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import cast
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from django.conf import settings

from apps.services.connectors.address_guard import GuardedAdapter, trusted_certificates
from apps.services.connectors.base import Body, ConnectorError, RunFacts
from apps.services.connectors.formats.documents import excerpt
from apps.services.connectors.network_errors import unreachable
from apps.services.connectors.retry import TemporaryError, retry_after_in, with_retries
from apps.services.definition.connection_url import HTTP_SCHEMES, without_secrets
from apps.services.models import Connection
from apps.services.secrets import SecretUnavailable

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
# These leave the method and the body as they are.
_FAITHFUL_REDIRECTS = (307, 308)
_TEMPORARY = (408, 425, 429, 502, 503, 504)
_EXTENSIONS = {
    "application/json": ".json",
    "application/problem+json": ".json",
    "application/xml": ".xml",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
_BASE_HEADERS = {
    "Accept": "application/json, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "Synclog",
}
# What goes along to another host, too; any other header may hold a credential.
_HARMLESS_HEADERS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "content-type",
    "idempotency-key",
    "user-agent",
}


@dataclass(frozen=True)
class Outgoing:
    """A request to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {without_secrets(self.url)}"

    def as_body(self) -> Body | None:
        return None if self.body is None else Body.of_bytes(self.body, "application/json", ".json")


@dataclass(frozen=True)
class Answer:
    """What came back, decompressed, from `url`, which redirects may have led to."""

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

    def as_body(self) -> Body:
        content_type = self.content_type or "application/octet-stream"
        extension = _EXTENSIONS.get(content_type, ".json" if content_type.endswith("+json") else ".bin")
        return Body.of_bytes(self.content, content_type, extension)


class Exchange:
    """Sends requests to the system of one connection for one run."""

    def __init__(self, connection: Connection, facts: RunFacts) -> None:
        self._home = connection.url
        self._timeout = (connection.connect_timeout, connection.read_timeout)
        self._credentials = credentials_of(connection)
        self._facts = facts
        self._adapter = GuardedAdapter()
        facts.when_left.append(self._adapter.break_off)

    def close(self) -> None:
        self._adapter.close()

    def send(self, outgoing: Outgoing) -> Answer:
        """The answer, whatever its status; what may pass is tried again. Raises ConnectorError."""
        return with_retries(lambda: self._attempt(outgoing), self._facts)

    def _attempt(self, outgoing: Outgoing) -> Answer:
        started = time.monotonic()
        try:
            return self._answered(outgoing, started)
        except ConnectorError as error:
            error.request = outgoing.as_body()
            raise

    def _answered(self, outgoing: Outgoing, started: float) -> Answer:
        answer = self._follow(outgoing)
        logger.debug(
            "%s: %s, %d bytes in %.2f s",
            outgoing,
            answer.status_line,
            len(answer.content),
            time.monotonic() - started,
        )
        if answer.status in _TEMPORARY:
            raise TemporaryError(
                _description(outgoing, answer),
                retry_after=retry_after_in(answer.headers.get("Retry-After")),
                response=answer.as_body(),
            )
        return answer

    def _follow(self, outgoing: Outgoing) -> Answer:
        """Sends and follows redirects. Once a redirect has led elsewhere, no credentials go along any more."""
        url, trusted = outgoing.url, True
        for _hop in range(MAX_REDIRECTS + 1):
            self._facts.check()
            trusted = trusted and is_same_system(self._home, url)
            answer = self._send_once(outgoing, url, trusted=trusted)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            url = self._redirected(outgoing, answer, location)
        raise ConnectorError(f"{outgoing} was redirected more than {MAX_REDIRECTS} times.")

    def _redirected(self, outgoing: Outgoing, answer: Answer, location: str) -> str:
        try:
            target = urljoin(answer.url, location)
        except ValueError:
            raise ConnectorError(f"{outgoing} redirects to an address that cannot be read.") from None
        if outgoing.method != "GET" and answer.status not in _FAITHFUL_REDIRECTS:
            raise ConnectorError(
                f"{outgoing} redirects to {without_secrets(target)} by {answer.status_line}, on which the records "
                "would be lost. Enter the final address in the connection."
            )
        logger.info("%s redirects to %s (%s)", outgoing, without_secrets(target), answer.status)
        return target

    def _send_once(self, outgoing: Outgoing, url: str, *, trusted: bool) -> Answer:
        if urlsplit(url).scheme.lower() not in HTTP_SCHEMES:
            raise ConnectorError(
                f"{outgoing} leads to {without_secrets(url)}, which is neither http nor https."
            )
        shown = f"{outgoing.method} {without_secrets(url)}"
        try:
            prepared = requests.Request(
                outgoing.method, url, headers=self._headers(outgoing, trusted=trusted), data=outgoing.body
            ).prepare()
            with self._adapter.send(
                prepared, stream=True, timeout=self._timeout, verify=trusted_certificates(), proxies={}
            ) as response:
                content = b"" if response.status_code in _REDIRECTS else self._read(response, shown)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(shown, error) from error
        return Answer(url, response.status_code, response.reason or "", response.headers, content)

    def _headers(self, outgoing: Outgoing, *, trusted: bool) -> dict[str, str]:
        headers = {**_BASE_HEADERS, **outgoing.headers}
        if trusted:
            # requests takes bytes as values; its types do not say so.
            return {**headers, **cast("dict[str, str]", self._credentials)}
        return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}

    def _read(self, response: requests.Response, shown: str) -> bytes:
        """The content, decompressed, of at most settings.MAX_RESPONSE_BYTES."""
        most = settings.MAX_RESPONSE_BYTES
        content = BytesIO()
        declared = response.headers.get("Content-Length", "")
        too_large = declared.isdigit() and int(declared) > most
        # read1 hands over what has come: a slow sender leaves room to look whether the run is to stop.
        while not too_large and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
            content.write(chunk)
            too_large = content.tell() > most
            self._facts.check()
        if too_large:
            raise ConnectorError(
                f"{shown} answers with more than {most / 2**20:g} MiB, the most that is held in memory. Ask for "
                "smaller pages, or raise SYNCLOG_MAX_RESPONSE_MIB."
            )
        return content.getvalue()


def refused(outgoing: Outgoing, answer: Answer) -> ConnectorError:
    """The error to raise where the status of `answer` is none that can be worked with."""
    return ConnectorError(
        _description(outgoing, answer), request=outgoing.as_body(), response=answer.as_body()
    )


def is_same_system(home: str, url: str) -> bool:
    """Whether credentials of `home` may go to `url`: the same host and port, never from https down to http."""
    try:
        ours, theirs = _origin(home), _origin(url)
    except ValueError:
        return False
    return ours == theirs or (ours == ("http", theirs[1], 80) and theirs == ("https", ours[1], 443))


def credentials_of(connection: Connection) -> dict[str, bytes]:
    """The header by which `connection` signs in. Raises ConnectorError where its secret cannot be had or sent."""
    if connection.auth == Connection.Auth.NONE:
        return {}
    try:
        secret = connection.get_secret().strip("\r\n").encode()
    except SecretUnavailable as error:
        raise ConnectorError(f"Connection {connection.name}: {error}") from None
    if any(byte < 32 or byte == 127 for byte in secret):
        raise ConnectorError(
            f"Connection {connection.name}: its secret holds line breaks or control characters."
        )
    if connection.auth == Connection.Auth.BEARER:
        return {"Authorization": b"Bearer " + secret}
    if connection.auth == Connection.Auth.BASIC:
        return {"Authorization": b"Basic " + b64encode(connection.auth_username.encode() + b":" + secret)}
    return {connection.auth_header: secret}


def _description(outgoing: Outgoing, answer: Answer) -> str:
    """`GET https://shop/orders: 404 Not Found: {"detail": …`."""
    quoted = excerpt(answer.content)
    return f"{outgoing}: {answer.status_line}" + (f": {quoted}" if quoted else "")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return (
        scheme,
        (parts.hostname or "").lower().rstrip("."),
        parts.port or (443 if scheme == "https" else 80),
    )

"""Client of the HTTP API: sends the token, distinguishes temporary from permanent errors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import IO, Any

_TIMEOUT_SECONDS = 30


class ServerUnreachable(Exception):
    """The server did not respond or asked to wait `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class ReportRejected(Exception):
    """The server responded with a status that will not change; `problem` is its reason."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('detail') or problem.get('title') or ''}".strip())
        self.status, self.problem = status, problem

    @property
    def kind(self) -> str:
        return str(self.problem.get("type", "")).rpartition(":")[2]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: they would carry the token along."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


class _EarlyResponseConnection(HTTPConnection):
    """Reads the response even if the server responded and closed the connection before it had the whole body."""

    def request(self, *arguments: Any, **options: Any) -> None:
        try:
            super().request(*arguments, **options)
        except (BrokenPipeError, ConnectionResetError):
            # Without a connection there is no response.
            if self.sock is None:
                raise


class _EarlyResponseTlsConnection(_EarlyResponseConnection, HTTPSConnection):
    """The same over TLS."""


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_EarlyResponseConnection, request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_EarlyResponseTlsConnection, request)


class ApiClient:
    """Sends requests to the API of one server with one token."""

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("Invalid URL of Synclog; it must begin with http:// or https://.")
        self.url = url.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirect, _HTTPHandler, _HTTPSHandler)

    def call(
        self, method: str, path: str, body: bytes | IO[bytes], headers: dict[str, str]
    ) -> tuple[dict[str, Any], HTTPMessage]:
        """Document and headers of the response. Raises ServerUnreachable, ReportRejected."""
        headers = headers | {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            f"{self.url}/api/v1/{path}", data=body, method=method, headers=headers
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.load(response), response.headers
        except urllib.error.HTTPError as error:
            with error:
                problem = _problem(error)
            if error.code >= 500 or error.code == 429:
                wait = error.headers.get("Retry-After", "")
                raise ServerUnreachable(
                    f"it responds with {error.code}", float(wait) if wait.isdecimal() else 0
                ) from None
            raise ReportRejected(error.code, problem) from None
        except (OSError, HTTPException, ValueError) as error:
            raise ServerUnreachable(str(error) or type(error).__name__) from None


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        problem = json.load(error)
    except (OSError, HTTPException, ValueError):
        return {}
    return problem if isinstance(problem, dict) else {}

"""Network errors: classification into temporary and permanent ones, and their messages."""

from __future__ import annotations

import socket
import ssl

import requests
import urllib3

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.retry import TemporaryError

CA_HINT = " For a private CA, name its file in ca_file of the connection, or in SSL_CERT_FILE."


def connection_error(shown: str, error: Exception) -> ConnectorError:
    """The error for a request without a complete response; a TemporaryError if a retry may help."""
    causes = causes_of(error)
    if _is_any(causes, urllib3.exceptions.ProxyError):
        if _is_any(causes, ssl.SSLCertVerificationError):
            return ConnectorError(_tls_failure(f"{shown}: the proxy failed", causes))
        # Nothing was sent to the other system yet.
        return TemporaryError(f"{shown}: the proxy failed ({_reason_of(causes)})")
    if _is_any(causes, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return _without_response(f"{shown}: connection failed (the server closed it)")
    for cause in causes:
        if isinstance(cause, ssl.SSLError | requests.exceptions.SSLError | urllib3.exceptions.SSLError):
            failed = ConnectorError(_tls_failure(shown, causes))
            failed.may_have_arrived = not _is_any(causes, ssl.SSLCertVerificationError)
            return failed
        if isinstance(cause, urllib3.exceptions.DecodeError):
            damaged = ConnectorError(f"{shown}: the compressed response is damaged.")
            damaged.may_have_arrived = True
            return damaged
        if isinstance(cause, socket.gaierror):
            return TemporaryError(f"{shown}: unknown host ({cause.strerror})")
    for cause in causes:
        # In urllib3 a refused connection is a subclass of a connect timeout.
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            break
        if isinstance(cause, urllib3.exceptions.ConnectTimeoutError | requests.exceptions.ConnectTimeout):
            return TemporaryError(f"{shown}: connect timeout")
        if isinstance(
            cause, TimeoutError | urllib3.exceptions.ReadTimeoutError | requests.exceptions.ReadTimeout
        ):
            return _without_response(f"{shown}: read timeout")
    reason = _reason_of(causes)
    if isinstance(error, requests.exceptions.ConnectionError | urllib3.exceptions.ProtocolError):
        is_refused = _is_any(causes, urllib3.exceptions.NewConnectionError)
        failure = TemporaryError if is_refused else _without_response
        return failure(f"{shown}: connection failed ({reason})")
    return ConnectorError(f"{shown}: invalid request ({reason}).")


def _is_any(causes: list[BaseException], *types: type[BaseException]) -> bool:
    return any(isinstance(cause, types) for cause in causes)


def _without_response(message: str) -> TemporaryError:
    """The error for a request that may have reached the other system."""
    error = TemporaryError(message)
    error.may_have_arrived = True
    return error


def _tls_failure(shown: str, causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{shown}: the TLS certificate is not trusted ({cause.verify_message}).{CA_HINT}"
    reason = next((cause.reason for cause in causes if isinstance(cause, ssl.SSLError)), None)
    return f"{shown}: TLS failed ({(reason or _reason_of(causes)).replace('_', ' ').lower()})."


def causes_of(error: BaseException) -> list[BaseException]:
    """`error` and its causes, outermost first; the libraries use arguments, reasons and causes."""
    causes: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and found not in causes:
            causes.append(found)
            waiting += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
    return causes


def _reason_of(causes: list[BaseException]) -> str:
    """The text of the operating system, or of the innermost error."""
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.IncompleteRead):
            return f"the response ends early: {cause.partial} bytes received, {cause.expected} missing"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) or type(causes[-1]).__name__

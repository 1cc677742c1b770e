"""Failures of the network, sorted into those that may pass and those that will not, in plain words."""

from __future__ import annotations

import socket
import ssl

import requests
import urllib3

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.retry import TemporaryError


def unreachable(shown: str, error: Exception) -> ConnectorError:
    """The error to raise where the request `shown` got no whole answer; a TemporaryError where it may pass."""
    causes = _causes_of(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError | requests.exceptions.SSLError | urllib3.exceptions.SSLError):
            return ConnectorError(_tls_failure(shown, causes))
        if isinstance(cause, urllib3.exceptions.DecodeError):
            return ConnectorError(f"{shown}: the answer is compressed in a broken way.")
        if isinstance(cause, socket.gaierror):
            return TemporaryError(f"{shown}: the host name is not known ({cause.strerror})")
    for cause in causes:
        # A connection that was refused counts as one that timed out in urllib3's classes.
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            break
        if isinstance(cause, urllib3.exceptions.ConnectTimeoutError | requests.exceptions.ConnectTimeout):
            return TemporaryError(f"{shown}: no connection in time")
        if isinstance(
            cause, TimeoutError | urllib3.exceptions.ReadTimeoutError | requests.exceptions.ReadTimeout
        ):
            return TemporaryError(f"{shown}: no answer in time")
    reason = _reason_of(causes)
    if isinstance(error, requests.exceptions.ConnectionError | urllib3.exceptions.ProtocolError):
        return TemporaryError(f"{shown}: the connection failed ({reason})")
    return ConnectorError(f"{shown}: this cannot be sent ({reason}).")


def _tls_failure(shown: str, causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"{shown}: the TLS certificate is not trusted ({cause.verify_message}). If it is your own, name the "
                "file of its CA in SSL_CERT_FILE."
            )
    reason = next((cause.reason for cause in causes if isinstance(cause, ssl.SSLError)), None)
    return f"{shown}: TLS failed ({(reason or _reason_of(causes)).replace('_', ' ').lower()})."


def _causes_of(error: BaseException) -> list[BaseException]:
    """`error` and what lies beneath it, outermost first; the libraries wrap in arguments, reasons and causes."""
    causes: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and found not in causes:
            causes.append(found)
            waiting += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
    return causes


def _reason_of(causes: list[BaseException]) -> str:
    """What the operating system said, or else the innermost words."""
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) or type(causes[-1]).__name__

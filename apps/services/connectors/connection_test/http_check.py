"""Test of an HTTP connection: the host, the proxy, TLS, the access token, and a GET on the base URL."""

from __future__ import annotations

import ssl
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.services.connectors.address_guard import check_host
from apps.services.connectors.base import RunContext
from apps.services.connectors.connection_test.advice import CheckFailed, status_advice
from apps.services.connectors.connection_test.hosts import address_of, resolved
from apps.services.connectors.connection_test.progress import ConnectionTest, StepName
from apps.services.connectors.http import retry_rules
from apps.services.connectors.http.client import HttpClient
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.connectors.stages import Stage, observed
from apps.services.definition.connection_url import without_secrets
from apps.services.models import Connection

# 401, 403 and 407 are about authentication, or about the proxy.
_REFUSALS = (401, 403, 407)


def check_http(connection: Connection, context: RunContext, test: ConnectionTest) -> None:
    """Raises ConnectorError, and the errors of `context.check`."""
    test.plan(*_names(connection))
    with closing(HttpClient(connection, context)) as client:
        test.discard()
        if connection.proxy:
            check_host(urlsplit(connection.url).hostname or "")
        test.complete(resolved(connection.proxy or connection.url))
        with observed(lambda stage, subject: test.complete(_detail(stage, subject, connection))):
            client.connect()
        if connection.auth == Connection.Auth.OAUTH2:
            if _is_unsaved_refresh_token(connection):
                test.current.detail = _(
                    "Not tested before the connection is saved: the other system may accept a refresh token only "
                    "once. Save, then test again."
                )
                return
            client.authenticate()
            test.complete(_("Access token obtained."))
        response = client.send(HttpRequest("GET", connection.url, final_statuses=range(400, 600)))
        test.complete(_checked(response, connection))


def _names(connection: Connection) -> list[StepName]:
    is_https = urlsplit(connection.url).scheme == "https"
    names = [StepName.RESOLVE, StepName.CONNECT]
    if is_https:
        names += [StepName.PROXY, StepName.TLS] if connection.proxy else [StepName.TLS]
    if connection.auth == Connection.Auth.NONE:
        return [*names, StepName.REQUEST]
    if connection.auth == Connection.Auth.OAUTH2:
        names.append(StepName.TOKEN)
    return [*names, StepName.AUTHENTICATE]


def _detail(stage: Stage, subject: Any, connection: Connection) -> str:
    if stage == Stage.CONNECTED:
        address = address_of(subject)
        return (
            _("Connected to the proxy %(address)s.") % {"address": address} if connection.proxy else address
        )
    if stage == Stage.TUNNELLED:
        return f"CONNECT {urlsplit(connection.url).netloc}"
    certificate = subject.getpeercert() or {}
    if "notAfter" not in certificate:
        return str(subject.version())
    expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    return _("%(version)s; the certificate is valid until %(date)s.") % {
        "version": subject.version(),
        "date": date_format(expires_at, "DATE_FORMAT"),
    }


def _is_unsaved_refresh_token(connection: Connection) -> bool:
    return connection.auth_grant == Connection.Grant.REFRESH_TOKEN and connection._state.adding


def _checked(response: HttpResponse, connection: Connection) -> str:
    """The result for the response. Raises CheckFailed if its status is an error for any path."""
    shown = f"GET {without_secrets(response.url)}: {response.status_line}"
    quoted = response.excerpt
    is_temporary = retry_rules.is_temporary(response.status, response.headers)
    if is_temporary or response.status in _REFUSALS or response.status >= 500:
        advice = status_advice(response.status, connection, is_temporary=is_temporary)
        raise CheckFailed(f"{shown}: {quoted}" if quoted else shown, advice)
    if response.status == 404 or response.status == 405:
        return _("%(response)s, which is usual for the base of an API.") % {"response": shown}
    return f"{shown}: {quoted}" if quoted and response.status >= 400 else shown

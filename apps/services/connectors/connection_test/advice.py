"""What to do about a step that failed."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.services.connectors.address_guard import AddressRefused
from apps.services.connectors.base import ConnectorError
from apps.services.connectors.connection_test.progress import StepName
from apps.services.connectors.files.remote_folder import OBJECT_STORES
from apps.services.connectors.network_errors import causes_of
from apps.services.models import Connection

# Codes of X509_verify_cert in OpenSSL.
_EXPIRED = 10
_OTHER_NAME = (62, 64)

_ADVICE = {
    StepName.SETTINGS: gettext_lazy(
        "Correct the setting. Files and environment variables must exist where this test runs, in the web process, and "
        "on every worker."
    ),
    StepName.RESOLVE: gettext_lazy(
        "Check the spelling of the host. A name of your own network needs the DNS server of that network."
    ),
    StepName.CONNECT: gettext_lazy(
        "Check host and port, whether the system is running, and whether a firewall is in between."
    ),
    StepName.PROXY: gettext_lazy("Check whether the proxy may connect to this host and port."),
    StepName.HOST_KEY: gettext_lazy("Check the port: no SSH server responds there."),
    StepName.TOKEN: gettext_lazy("Check token URL, client ID, secret and scope."),
    StepName.ALLOWED: gettext_lazy(
        "Choose a folder within SYNCLOG_FILE_ROOTS, or let an operator add this one."
    ),
    StepName.FOLDER: gettext_lazy("Check the path, and whether the user may open the folder."),
    StepName.READ: gettext_lazy(
        "Allow the user of the workers to read the folder. Until then only destinations can use it."
    ),
    StepName.WRITE: gettext_lazy(
        "Allow the user of the workers to write to the folder. Until then only sources can use it."
    ),
}


class CheckFailed(ConnectorError):
    """A step failed for a reason that the test itself has found."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def advice_for(name: StepName, error: ConnectorError, connection: Connection) -> str:
    """What to do about `error` in the step; empty if the error says so itself."""
    if isinstance(error, CheckFailed):
        return error.advice
    if isinstance(error, AddressRefused):
        return _("Enter the address of the system itself.")
    match name:
        case StepName.CONNECT if connection.proxy:
            return _("Check address and port of the proxy, and whether a firewall is in between.")
        case StepName.TLS:
            return _tls_advice(causes_of(error))
        case StepName.HOST_KEY if isinstance(error.__cause__, _bad_host_key()):
            return ""
        case StepName.AUTHENTICATE | StepName.REQUEST:
            return _request_advice(causes_of(error), connection)
        case StepName.FOLDER if urlsplit(connection.url).scheme in OBJECT_STORES:
            return _("Check bucket, user name and secret, and whether a firewall is in between.")
    return str(_ADVICE[name])


def status_advice(status: int, connection: Connection, *, is_temporary: bool) -> str:
    """What to do about a response with an error status."""
    if status == 407:
        return _("The proxy requires authentication. Let it accept Synclog by its address.")
    if status >= 500:
        return _("The system itself fails. Ask its operator, or test again later.")
    if is_temporary:
        return _("The system refuses further requests for now. Test again later.")
    if connection.auth == Connection.Auth.NONE:
        return _("The system requires authentication. Choose one, and enter its secret.")
    if status == 403:
        return _("Check whether the account has the permission, and whether the system allows this address.")
    if connection.auth == Connection.Auth.BASIC:
        return _("Check user name and password.")
    if connection.auth == Connection.Auth.OAUTH2:
        return _("The system refuses the access token. Check the scope and the permissions of the client.")
    return _("Check the secret. It may be wrong, expired or revoked.")


def _tls_advice(causes: Sequence[BaseException]) -> str:
    for cause in causes:
        if not isinstance(cause, ssl.SSLError):
            continue
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code == _EXPIRED:
                return _("The certificate has expired. Ask the operator of the system to renew it.")
            if cause.verify_code in _OTHER_NAME:
                return _(
                    "The certificate belongs to another host. Use the name in the certificate as the host."
                )
            return _("For a private authority, enter the file with its certificate as CA file.")
        if cause.reason == "WRONG_VERSION_NUMBER":
            return _("The port does not use TLS. Check the port, or use http:// within your own network.")
        if _is_client_certificate_missing(cause):
            return _("The system requires a client certificate. Enter its file.")
    return _("Check host and port. Ask the operator of the system which TLS versions it supports.")


def _request_advice(causes: Sequence[BaseException], connection: Connection) -> str:
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return _tls_advice(causes)
    if connection.kind == Connection.Kind.FILE:
        return _("Check user name and secret.")
    return _(
        "The host is reachable, but its response is incomplete. Check port and path, or test again later."
    )


def _bad_host_key() -> type[Exception]:
    # Takes a tenth of the start-up time of every process; loaded already if there is such an error.
    import paramiko

    error: type[Exception] = paramiko.BadHostKeyException
    return error


def _is_client_certificate_missing(error: ssl.SSLError) -> bool:
    return "CERTIFICATE_REQUIRED" in (error.reason or "") or "HANDSHAKE_FAILURE" in (error.reason or "")

"""Authentication of requests by the settings of a connection."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote_plus, unquote_plus, urlsplit

from apps.audit.masking import MASK
from apps.services.connectors.base import ConnectorError
from apps.services.models import Connection
from apps.services.secrets import SecretUnavailable


class Authentication:
    """No authentication, and the interface of the others."""

    # Headers that contain credentials.
    header_names: tuple[str, ...] = ()

    def headers(self) -> Mapping[str, bytes]:
        """Headers of a request to the system of the connection. Raises ConnectorError."""
        return {}

    def masked_url(self, url: str) -> str:
        """`url` to show, with masked credentials."""
        return url

    def url(self, url: str, *, is_trusted: bool) -> str:
        """The address to send a request to, which is never shown; `is_trusted` if it is that of the connection."""
        del is_trusted
        return url

    def renew(self) -> bool:
        """Renews what the other system rejects with status 401; whether there is something to renew."""
        return False


class HeaderAuthentication(Authentication):
    """A header with the secret."""

    def __init__(self, name: str, value: bytes) -> None:
        self.header_names = (name,)
        self._headers = {name: value}

    def headers(self) -> Mapping[str, bytes]:
        return self._headers


class QueryAuthentication(Authentication):
    """A query parameter with the secret."""

    def __init__(self, name: str, secret: str) -> None:
        self._name = name
        self._secret = secret

    def url(self, url: str, *, is_trusted: bool) -> str:
        """`url` with the parameter for the system of the connection, and without its secret for any other.

        Systems may repeat it in their links to the next page.
        """
        parts = urlsplit(url)
        pairs = [pair for pair in parts.query.split("&") if pair and not self._is_own(pair, is_trusted)]
        if is_trusted:
            pairs.append(f"{quote_plus(self._name)}={quote_plus(self._secret)}")
        return parts._replace(query="&".join(pairs)).geturl()

    def masked_url(self, url: str) -> str:
        return f"{url}{'&' if '?' in url else '?'}{quote_plus(self._name)}={MASK}"

    def _is_own(self, pair: str, is_trusted: bool) -> bool:
        name, _equals, value = map(unquote_plus, pair.partition("="))
        return name == self._name and (is_trusted or value == self._secret)


def authentication_of(connection: Connection) -> Authentication:
    """Raises ConnectorError if the secret of `connection` is not available or invalid."""
    auth = Connection.Auth(connection.auth)
    if auth == Connection.Auth.NONE:
        return Authentication()
    secret = secret_of(connection)
    if auth == Connection.Auth.QUERY:
        return QueryAuthentication(connection.auth_query, secret)
    if auth == Connection.Auth.BEARER:
        return HeaderAuthentication("Authorization", b"Bearer " + secret.encode())
    if auth == Connection.Auth.BASIC:
        return HeaderAuthentication("Authorization", basic_credentials(connection.auth_username, secret))
    return HeaderAuthentication(connection.auth_header, secret.encode())


def secret_of(connection: Connection) -> str:
    """Raises ConnectorError if the secret of `connection` is not available or invalid."""
    try:
        secret = connection.get_secret().strip("\r\n")
    except SecretUnavailable as error:
        raise ConnectorError(f"Connection {connection.name}: {error}") from None
    if any(byte < 32 or byte == 127 for byte in secret.encode()):
        raise ConnectorError(
            f"Connection {connection.name}: its secret contains line breaks or control characters."
        )
    return secret


def basic_credentials(username: str, password: str) -> bytes:
    """Value of the Authorization header, RFC 7617."""
    return b"Basic " + b64encode(f"{username}:{password}".encode())

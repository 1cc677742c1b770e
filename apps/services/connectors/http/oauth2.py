"""OAuth 2: access tokens by client credentials or a refresh token, RFC 6749, shared by all workers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from django.db import DatabaseError, InterfaceError
from django.db import connection as database

from apps.services.connectors.base import ConnectorError, RunContext
from apps.services.connectors.formats.documents import excerpt
from apps.services.connectors.http.authentication import Authentication, basic_credentials, secret_of
from apps.services.connectors.http.messages import HttpRequest, HttpResponse
from apps.services.connectors.http.token_response import document_in, error_in, seconds_in, validity
from apps.services.connectors.retry import SLICE, TemporaryError, wait, with_retries
from apps.services.definition.connection_url import without_secrets
from apps.services.models import Connection, ConnectionState
from apps.services.secrets import SecretUnavailable, decrypt, encrypt

logger = logging.getLogger(__name__)

# In seconds: a token is renewed this long before it expires, at most a tenth of its life; how long to try to save it;
# the time that a renewal may take beside the timeouts of the connection.
_MARGIN = 60.0
SAVE_TIMEOUT = 10.0
_RENEWAL_TIME = 30.0

type Send = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class _Tokens:
    """Tokens of a connection, as they are stored; `settings` is the digest of the settings that they belong to."""

    settings: str
    access_token: str
    refresh_token: str = ""
    # Seconds since 1970, with the margin; None if the other system does not say.
    renew_at: float | None = None

    @classmethod
    def decrypted(cls, encrypted: str) -> Self | None:
        """None if nothing is stored, or if the encryption key has changed."""
        if not encrypted:
            return None
        try:
            return cls(**json.loads(decrypt(encrypted)))
        except (SecretUnavailable, ValueError, TypeError):
            return None

    def encrypted(self) -> str:
        return encrypt(json.dumps(asdict(self)))

    @property
    def is_expired(self) -> bool:
        return self.renew_at is not None and time.time() >= self.renew_at

    def is_usable(self, rejected: str) -> bool:
        return not self.is_expired and self.access_token != rejected


class OAuth2Authentication(Authentication):
    """Bearer token of one connection, which is requested when it is needed and renewed when it is rejected."""

    def __init__(self, system: Connection, context: RunContext, send: Send) -> None:
        """`send` sends a request to the token endpoint and raises TemporaryError if it may be repeated."""
        self._system = system
        self._context = context
        self._send = send
        self._secret = secret_of(system) if system.has_secret else ""
        self._refresh_token = _refresh_token_of(system)
        self._settings = _digest(system, self._secret, self._refresh_token)
        self._tokens: _Tokens | None = None

    header_names = ("Authorization",)

    def headers(self) -> Mapping[str, bytes]:
        if self._tokens is None or self._tokens.is_expired:
            self._obtain(rejected="")
        token = self._tokens.access_token if self._tokens else ""
        return {"Authorization": f"Bearer {token}".encode()}

    def renew(self) -> bool:
        self._obtain(rejected=self._tokens.access_token if self._tokens else "")
        return True

    def _obtain(self, *, rejected: str) -> None:
        """Takes the stored tokens, or new ones if those are expired or contain the rejected access token."""
        try:
            tokens = with_retries(lambda: self._stored_or_new(rejected), self._context)
        except ConnectorError as error:
            # Without the response, which may contain tokens; the request that needs the token was not sent.
            raise ConnectorError(f"Connection {self._system.name} has no access token: {error}") from None
        self._hide(tokens)
        self._tokens = tokens

    def _stored_or_new(self, rejected: str) -> _Tokens:
        if self._system._state.adding:
            return self._request(self._tokens)
        try:
            return self._shared(rejected)
        except (DatabaseError, InterfaceError) as error:
            database.close_if_unusable_or_obsolete()
            raise TemporaryError(f"the database, which stores it, is not available ({error})") from None

    def _shared(self, rejected: str) -> _Tokens:
        """The stored tokens if they can be used, otherwise new ones, which only one worker at a time requests."""
        is_waiting = False
        while True:
            if (stored := self._stored()) and stored.is_usable(rejected):
                return stored
            lease = ConnectionState.objects.start_renewal(self._system.pk, self._renewal_time())
            if lease is not None:
                # The previous holder of the lease may have renewed them.
                if (stored := self._stored()) and stored.is_usable(rejected):
                    self._end_renewal(lease)
                    return stored
                return self._renewed(stored, lease)
            if not is_waiting:
                is_waiting = True
                logger.info(
                    "Waiting for another worker, which renews the access token of %s", self._system.name
                )
            wait(SLICE, self._context.check)

    def _renewed(self, stored: _Tokens | None, lease: datetime) -> _Tokens:
        try:
            tokens = self._request(stored)
        except BaseException:
            self._end_renewal(lease)
            raise
        self._save(tokens, is_rotated=tokens.refresh_token not in ("", self._last_refresh_token(stored)))
        return tokens

    def _save(self, tokens: _Tokens, *, is_rotated: bool) -> None:
        """Saves the tokens before they are used: without its successor, a rotated refresh token is lost."""
        encrypted = tokens.encrypted()
        end = time.monotonic() + SAVE_TIMEOUT
        while True:
            try:
                ConnectionState.objects.save_tokens(self._system.pk, encrypted)
            except (DatabaseError, InterfaceError) as error:
                database.close_if_unusable_or_obsolete()
                if time.monotonic() < end:
                    # Not interrupted by a stop of the run.
                    time.sleep(SLICE)
                    continue
                if is_rotated:
                    raise ConnectorError(
                        f"the new refresh token could not be saved ({error}). If the other system accepts each one "
                        "only once, authorize Synclog again, and enter the new refresh token in the connection."
                    ) from None
            return

    def _request(self, stored: _Tokens | None) -> _Tokens:
        refresh_token = self._last_refresh_token(stored)
        form = {"grant_type": self._system.auth_grant}
        if self._system.auth_grant == Connection.Grant.REFRESH_TOKEN:
            form["refresh_token"] = refresh_token
        if self._system.auth_scope:
            form["scope"] = self._system.auth_scope
        response = self._authenticated(form)
        shown = f"POST {without_secrets(self._system.auth_token_url)}: {response.status_line}"
        document = document_in(response, shown)
        tokens = self._tokens_in(document, shown, refresh_token)
        self._hide(tokens)
        logger.info("Connection %s: new access token%s", self._system.name, validity(seconds_in(document)))
        return tokens

    def _authenticated(self, form: Mapping[str, str]) -> HttpResponse:
        """The response to `form` with client ID and secret: in the header, or if that is refused, in the form."""
        system = self._system
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        in_form = {**form, "client_id": system.auth_client_id}
        if self._secret:
            credentials = basic_credentials(quote_plus(system.auth_client_id), quote_plus(self._secret))
            response = self._send(
                HttpRequest(
                    "POST",
                    system.auth_token_url,
                    {**headers, "Authorization": credentials.decode()},
                    urlencode(form).encode(),
                )
            )
            if error_in(response) != "invalid_client" and response.status != 401:
                return response
            in_form["client_secret"] = self._secret
        return self._send(HttpRequest("POST", system.auth_token_url, headers, urlencode(in_form).encode()))

    def _tokens_in(self, document: Mapping[str, Any], shown: str, refresh_token: str) -> _Tokens:
        access_token = document.get("access_token")
        if not isinstance(access_token, str) or not access_token:
            names = ", ".join(map(str, document)) or "nothing"
            raise ConnectorError(
                f"{shown}, but the response contains no access_token, only {excerpt(names.encode())}. Check the "
                "token URL."
            )
        if not (access_token.isascii() and access_token.isprintable()):
            raise ConnectorError(
                f"{shown}, but the access token contains characters that no header may contain."
            )
        kind = document.get("token_type") or "bearer"
        if str(kind).lower() != "bearer":
            raise ConnectorError(
                f"{shown}, but the type of the token is {kind}; Synclog supports bearer tokens only."
            )
        seconds = seconds_in(document)
        renew_at = None if seconds is None else time.time() + seconds - min(_MARGIN, seconds / 10)
        rotated = document.get("refresh_token")
        if self._system.auth_grant != Connection.Grant.REFRESH_TOKEN:
            refresh_token = ""
        elif isinstance(rotated, str) and rotated:
            refresh_token = rotated
        return _Tokens(self._settings, access_token, refresh_token, renew_at)

    def _stored(self) -> _Tokens | None:
        """The stored tokens, unless they belong to other settings."""
        tokens = _Tokens.decrypted(ConnectionState.objects.tokens_of(self._system.pk))
        return tokens if tokens and tokens.settings == self._settings else None

    def _last_refresh_token(self, stored: _Tokens | None) -> str:
        return (stored.refresh_token if stored else "") or self._refresh_token

    def _end_renewal(self, lease: datetime) -> None:
        ConnectionState.objects.end_renewal(self._system.pk, lease)

    def _renewal_time(self) -> timedelta:
        # With the secret in the header, then in the form.
        timeouts = 2 * (self._system.connect_timeout + self._system.read_timeout)
        return timedelta(seconds=timeouts + _RENEWAL_TIME)

    def _hide(self, tokens: _Tokens) -> None:
        for secret in filter(None, (tokens.access_token, tokens.refresh_token)):
            self._context.add_secret(secret)


def _refresh_token_of(system: Connection) -> str:
    if system.auth_grant != Connection.Grant.REFRESH_TOKEN:
        return ""
    try:
        token = system.get_refresh_token().strip()
    except SecretUnavailable as error:
        raise ConnectorError(f"Connection {system.name}: {error}") from None
    if not token:
        raise ConnectorError(f"Connection {system.name} has no refresh token; enter one in its settings.")
    return token


def _digest(system: Connection, secret: str, refresh_token: str) -> str:
    settings = [
        system.auth_token_url,
        system.auth_client_id,
        system.auth_scope,
        system.auth_grant,
        secret,
        refresh_token,
    ]
    return sha256(json.dumps(settings).encode()).hexdigest()

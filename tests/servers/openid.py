"""OpenID provider from the wheel of oidc-provider-mock: codes, tokens and signatures as OpenID Connect defines them."""

import sys
from typing import Any

import requests

from tests.servers.base import Server, free_ports


class OpenIDServer(Server):
    """Provider on a free port of this machine. Each client must register; users are created when they log in."""

    program = "openid"

    def prepare(self) -> None:
        (self.port,) = free_ports(1)

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "oidc_provider_mock"),
            *("--port", str(self.port), "--require-registration", "true"),
        ]

    def ping(self) -> None:
        try:
            requests.get(f"{self.url}/jwks", timeout=5)
        except requests.RequestException as error:
            raise OSError(str(error)) from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register_client(self, callback: str) -> tuple[str, str]:
        """Id and secret of a new client."""
        body = {"redirect_uris": [callback], "token_endpoint_auth_method": "client_secret_post"}
        client: dict[str, str] = requests.post(f"{self.url}/oauth2/clients", json=body, timeout=5).json()
        return client["client_id"], client["client_secret"]

    def set_user(self, subject: str, **claims: Any) -> None:
        requests.put(f"{self.url}/users/{subject}", json=claims, timeout=5).raise_for_status()

    def authorize(self, url: str, subject: str | None) -> str:
        """Answers the form of the provider as this user, or denies it; returns the callback URL."""
        form = {"sub": subject} if subject else {"action": "deny"}
        response = requests.post(url, data=form, allow_redirects=False, timeout=5)
        assert response.status_code == 302, response.text
        return response.headers["Location"]

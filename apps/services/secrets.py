"""Secrets of connections: encrypted at rest, or left in an environment variable."""

import base64
import os

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SecretUnavailable(Exception):
    """A secret cannot be had; the message says which and why, never the secret."""


def encrypt(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Raises SecretUnavailable where the key that encrypted it is gone."""
    try:
        return _cipher().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise SecretUnavailable(
            "The stored secret cannot be decrypted: DJANGO_SECRET_KEY has changed. Enter the secret again."
        ) from None


def secret_from_environment(name: str) -> str:
    """Raises SecretUnavailable where the variable is not set or empty."""
    if secret := os.environ.get(name, ""):
        return secret
    raise SecretUnavailable(
        f"The environment variable {name}, which holds the secret, is not set for this process."
    )


def _cipher() -> MultiFernet:
    """Fernet under keys derived from Django's secret key and its fallbacks, so that keys can be rotated."""
    return MultiFernet([_fernet(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"synclog connection secrets").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))

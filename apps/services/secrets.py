"""Secrets of connections and channels: encrypted in the database, or in an environment variable."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.environment import read_text


class SecretUnavailable(Exception):
    """A secret is not available; the message says which and why, never the secret."""


def encrypt(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Raises SecretUnavailable if the encryption key has changed."""
    try:
        return _cipher().decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise SecretUnavailable(
            "The stored secret cannot be decrypted: DJANGO_SECRET_KEY has changed. Enter the secret again."
        ) from None


def reencrypted(stored: str, secret: str) -> str:
    """The encrypted secret for the row; the stored text if the secret is empty or has not changed."""
    if not secret:
        return stored
    try:
        if stored and decrypt(stored) == secret:
            return stored
    except SecretUnavailable:
        # The key has changed: the secret is encrypted anew.
        pass
    return encrypt(secret)


def secret_from_environment(name: str) -> str:
    """The variable, or the file that its variant with the suffix _FILE names.

    Raises SecretUnavailable if it is empty or not set, or if the file cannot be read.
    """
    try:
        if secret := read_text(name):
            return secret
    except ImproperlyConfigured as error:
        raise SecretUnavailable(str(error)) from None
    raise SecretUnavailable(
        f"The environment variable {name} with the secret is not set. Set it for the workers."
    )


def _cipher() -> MultiFernet:
    """Fernet with keys derived from Django's secret key and its fallbacks, so that keys can be rotated."""
    return MultiFernet([_fernet(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"synclog connection secrets").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))

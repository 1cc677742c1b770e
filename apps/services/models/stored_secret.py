"""Secret of a row: encrypted in `secret_encrypted`, or in the environment variable that `secret_env` names."""

from __future__ import annotations

from apps.services.secrets import decrypt, encrypt, secret_from_environment


class StoredSecret:
    """Part of a model with the two columns."""

    secret_encrypted: str
    secret_env: str

    def set_secret(self, secret: str) -> None:
        """Encrypts `secret` into the row. The caller saves."""
        self.secret_encrypted = encrypt(secret) if secret else ""

    def get_secret(self) -> str:
        """Secret in clear text, from the environment variable if one is named.

        Raises SecretUnavailable if the variable is not set or the encryption key has changed.
        """
        if self.secret_env:
            return secret_from_environment(self.secret_env)
        return decrypt(self.secret_encrypted) if self.secret_encrypted else ""

    @property
    def has_secret(self) -> bool:
        return bool(self.secret_env or self.secret_encrypted)

"""Host keys of SSH servers."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

from django.db import models
from django.utils.translation import gettext_lazy as _


class HostKey(models.Model):
    """The key by which an SSH server is recognized, remembered at the first connection."""

    # As in a known_hosts file: sftp.example, or [sftp.example]:2222 if the port is not 22.
    host = models.CharField(_("host"), max_length=300)
    # Algorithm, such as ssh-ed25519, and key in Base64.
    algorithm = models.CharField(_("algorithm"), max_length=100)
    key = models.TextField(_("host key"))

    created_at = models.DateTimeField(_("remembered"), auto_now_add=True)

    class Meta:
        verbose_name = _("host key")
        verbose_name_plural = _("host keys")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["host", "algorithm"], name="host_key_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.algorithm} {self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it: SHA256:…"""
        return fingerprint_of(b64decode(self.key))


def fingerprint_of(key: bytes) -> str:
    return f"SHA256:{b64encode(sha256(key).digest()).decode().rstrip('=')}"

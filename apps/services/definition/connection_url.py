"""Addresses of connections: allowed schemes, validation, and masking of secrets."""

import re
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from apps.audit.masking import masked_query

# fsspec supports more schemes. Those that wrap others (zip, simplecache …) or run commands (git …) would bypass the
# confinement to folders and the address guard.
FILE_SCHEMES = ("file", "s3", "s3a", "sftp", "ssh", "ftp", "gs", "gcs", "abfs", "az", "smb", "memory")
HTTP_SCHEMES = ("http", "https")


def validate_address(kind: str, url: str) -> None:
    """Raises ValidationError unless a connection of `kind` may have the address `url`."""
    schemes = HTTP_SCHEMES if kind == "http" else FILE_SCHEMES
    parts = _split(url)
    if parts.scheme not in schemes or "://" not in url:
        raise ValidationError(
            _("“%(url)s” has no valid scheme. Allowed: %(schemes)s.")
            % {"url": without_secrets(url), "schemes": ", ".join(f"{scheme}://" for scheme in schemes)}
        )
    # An IPv6 address in brackets may contain ::.
    if "::" in re.sub(r"//\[[0-9a-fA-F:.]+\]", "//", url):
        raise ValidationError(_("Chained addresses (::) are not allowed; write a single one."))
    if ".." in parts.path.split("/"):
        raise ValidationError(_("“..” is not allowed; write the resolved path."))
    if parts.password is not None or (kind == "http" and parts.username is not None):
        raise ValidationError(
            _("Credentials are not allowed in an address; enter them under authentication.")
        )
    if kind == "http" and not parts.hostname:
        raise ValidationError(_("The address has no host; write one such as http://127.0.0.1:3000."))
    if kind == "http" and ("{" in url or "}" in url):
        raise ValidationError(_("{ and } are not replaced in an address; write the final one."))
    if kind == "http" and (parts.query or parts.fragment):
        raise ValidationError(_("? and # are not allowed; enter parameters in the service."))
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValidationError(_("Not an absolute path; write three slashes, as in file:///srv/drop."))


def without_secrets(url: str) -> str:
    """`url` for display: without user and password, and with masked values of parameters that look like credentials."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url.split("?", 1)[0].rpartition("@")[2]
    return parts._replace(netloc=host, query=masked_query(parts.query), fragment="").geturl()


def _split(url: str) -> SplitResult:
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ValidationError(_("Spaces, line breaks and control characters are not allowed; remove them."))
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError as error:
        raise ValidationError(_("Invalid address: %(reason)s.") % {"reason": error}) from None
    return parts

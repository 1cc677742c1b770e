"""How a connection signs in to its system: the one place that knows what a description of it must hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.services.models import Connection

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class SignIn:
    """As it was written in a file or a form; what was left out is empty."""

    type: str
    username: str = ""
    header: str = ""
    secret_env: str = ""
    secret: str = ""

    def faults(self, kind: str, *, has_stored: bool) -> dict[str, str]:
        """What is wrong with it for a connection of `kind`, by field; `has_stored`: a secret is there from before."""
        found = {
            "type": self._of_type(kind),
            "username": self._of_username() if self.type == Connection.Auth.BASIC else "",
            "header": self._of_header() if self.type == Connection.Auth.HEADER else "",
            "secret_env": self._of_variable(),
            "secret": self._of_secret(has_stored=has_stored),
        }
        return {field: reason for field, reason in found.items() if reason}

    def _of_type(self, kind: str) -> str:
        if kind == Connection.Kind.FILE and self.type in {Connection.Auth.BEARER, Connection.Auth.HEADER}:
            return _("Files know no such sign-in, only none, and user and password (basic).")
        return ""

    def _of_username(self) -> str:
        if not self.username:
            return _("This sign-in needs a user name; enter it.")
        if ":" in self.username or not self.username.isprintable():
            return _("A user name holds neither colons nor control characters; leave them out.")
        return ""

    def _of_header(self) -> str:
        if not self.header:
            return _("This sign-in needs a header; enter its name, as in X-Api-Key.")
        if not _HEADER_NAME.fullmatch(self.header):
            return _("This is no header name; use letters, digits and hyphens, as in X-Api-Key.")
        return ""

    def _of_variable(self) -> str:
        if self.secret_env and not _VARIABLE_NAME.fullmatch(self.secret_env):
            return _("This is no name of a variable; use letters, digits and _, as in SHOP_TOKEN.")
        return ""

    def _of_secret(self, *, has_stored: bool) -> str:
        if self.secret and not self.secret.isprintable():
            return _("It holds line breaks or control characters; enter it without them.")
        if self.secret and self.secret_env:
            return _("Enter a secret or name a variable, not both.")
        if self.secret and self.type == Connection.Auth.NONE:
            return _("Nothing would use it: choose a sign-in, or leave this empty.")
        if self.type != Connection.Auth.NONE and not (self.secret or self.secret_env or has_stored):
            return _("This sign-in needs a secret: enter it, or name the environment variable that holds it.")
        return ""

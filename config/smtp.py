"""Mail server: Django's backend, which also reports addresses that the server refused while it accepted others."""

from __future__ import annotations

import smtplib
from typing import Any

from django.core.mail.backends import smtp


class PartlyRefused(smtplib.SMTPException):
    """The server has accepted the mail for some addresses, but not for `recipients`: code and text by address."""

    def __init__(self, recipients: dict[str, tuple[int, bytes]]) -> None:
        super().__init__(recipients)
        self.recipients = recipients


class _Reporting(smtplib.SMTP):
    def sendmail(self, *args: Any, **options: Any) -> dict[str, tuple[int, bytes]]:
        if refused := super().sendmail(*args, **options):
            raise PartlyRefused(refused)
        return {}


class _ReportingWithTLS(_Reporting, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


class EmailBackend(smtp.EmailBackend):
    """Raises PartlyRefused, where Django's backend says nothing."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _ReportingWithTLS if self.use_ssl else _Reporting

"""Email channels."""

from __future__ import annotations

import smtplib
import ssl
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from apps.alerts.channels.errors import DeliveryError
from apps.alerts.models import Channel, Delivery


def send_email(channel: Channel, delivery: Delivery) -> None:
    """Sends one mail to all addresses of the channel. Raises DeliveryError."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    mail = EmailMultiAlternatives(
        delivery.subject,
        delivery.text,
        to=channel.to,
        headers={
            "Message-ID": f"<{delivery.key}.{channel.pk}@{domain}>",
            "Auto-Submitted": "auto-generated",
            "Content-Language": channel.language,
        },
    )
    mail.attach_alternative(delivery.html, "text/html")
    try:
        mail.send(using="default")
    except smtplib.SMTPRecipientsRefused as error:
        reasons = "; ".join(
            f"{address}: {_answer(*refusal)}" for address, refusal in error.recipients.items()
        )
        raise DeliveryError(f"The mail server refused all addresses ({reasons}).") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(
            f"The mail server refused: {_answer(error.smtp_code, error.smtp_error)}."
        ) from None
    except ssl.SSLError as error:
        raise DeliveryError(f"TLS with the mail server failed: {error.reason or error}.") from None
    except TimeoutError:
        raise DeliveryError("The mail server did not respond in time.") from None
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DeliveryError(f"The mail server is unreachable: {reason}. EMAIL_URL names it.") from None


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}".rstrip(". ")

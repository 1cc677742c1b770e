"""Email channels."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from apps.alerts.channels.errors import DeliveryError
from apps.alerts.models import Channel, Delivery
from config.smtp import PartlyRefused


def send_email(channel: Channel, delivery: Delivery) -> None:
    """Sends one mail to all addresses of the channel, or to those that are left. Raises DeliveryError."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    addresses = [address for address in channel.to if not delivery.left or address in delivery.left]
    if not addresses:
        # The others were removed from the channel meanwhile.
        return
    mail = EmailMultiAlternatives(
        delivery.subject,
        delivery.text,
        to=addresses,
        headers={
            "Message-ID": f"<{delivery.key}.{channel.pk}@{domain}>",
            "Auto-Submitted": "auto-generated",
            "Content-Language": channel.language,
        },
    )
    mail.attach_alternative(delivery.html, "text/html")
    try:
        mail.send(using="default")
    except PartlyRefused as error:
        delivery.left = list(error.recipients)
        raise DeliveryError(
            f"The mail server refused some addresses ({_reasons(error.recipients)}); the others have got the mail."
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        which = "addresses that are left" if delivery.left else "all addresses"
        raise DeliveryError(f"The mail server refused {which} ({_reasons(error.recipients)}).") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(
            f"The mail server refused: {_response_text(error.smtp_code, error.smtp_error)}."
        ) from None
    except ssl.SSLError as error:
        raise DeliveryError(f"TLS with the mail server failed: {error.reason or error}.") from None
    except TimeoutError:
        raise DeliveryError("The mail server did not respond in time.") from None
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DeliveryError(f"The mail server is unreachable: {reason}. EMAIL_URL names it.") from None


def _reasons(refusals: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {_response_text(*refusal)}" for address, refusal in refusals.items())


def _response_text(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}".rstrip(". ")

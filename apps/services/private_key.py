"""Private keys of SSH in PEM or OpenSSH form, with or without a passphrase."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from django.utils.translation import gettext as _

type PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_HEADER = "PRIVATE KEY-----"


class InvalidPrivateKey(Exception):
    """A text cannot be used as a private key; the message says why and what to do."""


class InvalidPassphrase(InvalidPrivateKey):
    """A private key needs a passphrase, or another one."""


def check_private_key(text: str) -> None:
    """Raises InvalidPrivateKey unless `text` is a private key; it may be protected by a passphrase."""
    with suppress(InvalidPassphrase):
        read_private_key(text, "")


def read_private_key(text: str, passphrase: str) -> PrivateKey:
    """The private key in `text`; a key without protection ignores the passphrase. Raises InvalidPrivateKey."""
    data = _normalized(text).encode()
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        key: object = load(data, None)
    except TypeError:
        key = _unlock(load, data, passphrase)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable(error) from None
    if isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise InvalidPrivateKey(_("This kind of key is not supported; use an Ed25519, RSA or ECDSA key."))


def openssh_text(key: PrivateKey) -> str:
    """`key` in OpenSSH form, without protection."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _normalized(text: str) -> str:
    """`text` with its line feeds: environment variables often contain them as \\n."""
    text = text.replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
    if _HEADER in text:
        return text
    if text.startswith("PuTTY-User-Key-File"):
        raise InvalidPrivateKey(
            _("This is a PuTTY key; convert it to OpenSSH form with: puttygen key.ppk -O private-openssh")
        )
    if "PUBLIC KEY" in text or text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise InvalidPrivateKey(
            _("This is a public key; enter the private key, which begins with -----BEGIN.")
        )
    raise InvalidPrivateKey(
        _("Not a private key; enter the whole file, from -----BEGIN to the end of -----END.")
    )


def _unlock(load: Callable[..., object], data: bytes, passphrase: str) -> object:
    if not passphrase:
        raise InvalidPassphrase(_("The private key is protected by a passphrase; enter it."))
    try:
        return load(data, passphrase.encode())
    except ValueError:
        raise InvalidPassphrase(_("The passphrase does not fit the private key; enter it again.")) from None
    except UnsupportedAlgorithm as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> InvalidPrivateKey:
    return InvalidPrivateKey(
        _("The private key cannot be read (%(reason)s); enter the whole file again.")
        % {"reason": str(error).splitlines()[0][:200] if str(error) else type(error).__name__}
    )

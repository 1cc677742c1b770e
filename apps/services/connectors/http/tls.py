"""TLS settings of a connection: custom certificate authorities and a client certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from urllib3.util.ssl_ import create_urllib3_context

from apps.services.connectors.base import ConnectorError
from apps.services.models import Connection


def tls_context(connection: Connection, *, with_client_certificate: bool) -> ssl.SSLContext | None:
    """The context for the settings of `connection`, None if it has none. Raises ConnectorError for an invalid file.

    The authorities in `ca_file` are trusted besides the usual ones.
    """
    certificate = connection.client_cert_file if with_client_certificate else ""
    if not certificate and not connection.ca_file:
        return None
    context = create_urllib3_context()
    if connection.ca_file:
        _check_certificates(connection, "ca_file", connection.ca_file)
        context.load_verify_locations(connection.ca_file)
    if certificate:
        _check_certificates(connection, "client_cert_file", certificate)
        _check_key(connection, certificate)
        try:
            context.load_cert_chain(certificate)
        except ssl.SSLError:
            raise _invalid(
                connection,
                "client_cert_file",
                certificate,
                "the private key does not belong to the certificate",
            ) from None
    return context


def _check_certificates(connection: Connection, option: str, path: str) -> None:
    try:
        x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        raise _invalid(connection, option, path, f"{error.strerror or error}") from None
    except ValueError:
        raise _invalid(connection, option, path, "it contains no certificate in PEM form") from None


def _check_key(connection: Connection, path: str) -> None:
    """Also finds an encrypted key, for which OpenSSL would ask at the terminal."""
    try:
        load_pem_private_key(Path(path).read_bytes(), password=None)
    except TypeError:
        reason = "its private key is encrypted; remove the passphrase from the key"
    except (OSError, ValueError):
        reason = "it contains no private key in PEM form; add the key to the file"
    else:
        return
    raise _invalid(connection, "client_cert_file", path, reason)


def _invalid(connection: Connection, option: str, path: str, reason: str) -> ConnectorError:
    return ConnectorError(f"Connection {connection.name}: {option} {path} cannot be used: {reason}.")

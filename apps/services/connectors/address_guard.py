"""Address guard: connections never reach link-local and cloud metadata addresses.

Loopback and private networks are allowed, because integration systems live there. Metadata addresses hand out the
credentials of the machine. The check takes place when the connection is made, not on the URL: it also covers host
names that resolve to such an address, DNS changes, and redirects.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProxyError

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.stages import Stage, report

type Address = IPv4Address | IPv6Address

REFUSED_NETWORKS = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # Link-local; 169.254.169.254 is the metadata service of most clouds.
        "fe80::/10",  # Link-local.
        "fd00:ec2::/32",  # Amazon's metadata and container credentials over IPv6.
        "fd20:ce::/32",  # Google's metadata over IPv6.
        "100.100.100.200/32",  # Alibaba's metadata.
        "168.63.129.16/32",  # Azure's platform service.
        "192.0.0.192/32",  # Oracle's metadata.
    )
)
# Metadata services by name, which only a proxy may be able to resolve.
_REFUSED_HOSTS = {"metadata.google.internal", "metadata.goog"}
# IPv4 addresses within IPv6 that ipaddress does not unwrap: NAT64, and the old compatible form.
_NETWORKS_WITH_IPV4 = (ip_network("64:ff9b::/96"), ip_network("::/96"))


class AddressRefused(ConnectorError):
    """The host has an address that no connection may reach."""


def check_address(host: str, address: str) -> None:
    """Raises AddressRefused if `address`, to which `host` resolved, is link-local or cloud metadata."""
    for form in _contained_addresses(ip_address(address.partition("%")[0])):
        if any(form in network for network in REFUSED_NETWORKS if network.version == form.version):
            where = address if host.strip("[]") == address else f"{host} is at {address}, which"
            raise AddressRefused(
                f"{where} is a link-local or cloud metadata address; no connection may use it."
            )


def check_host(host: str) -> None:
    """Raises AddressRefused if `host` or an address of it is not allowed; unknown hosts pass."""
    with suppress(OSError, UnicodeError):
        resolve(host)


def resolve(host: str) -> list[str]:
    """The addresses of `host`. Raises AddressRefused if one is not allowed; OSError or UnicodeError if unknown."""
    if host.lower().rstrip(".") in _REFUSED_HOSTS:
        raise AddressRefused(f"{host} is a cloud metadata service; no connection may use it.")
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(address[0]) for *_kind, address in found))
    for address in addresses:
        check_address(host, address)
    return addresses


def _contained_addresses(address: Address) -> list[Address]:
    """The address and every IPv4 address that it contains."""
    forms: list[Address] = [address]
    if isinstance(address, IPv6Address):
        forms += [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner]
        if address.teredo:
            forms += address.teredo
        if any(address in network for network in _NETWORKS_WITH_IPV4):
            forms.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return forms


class _GuardedHTTPConnection(HTTPConnection):
    # Whether the proxy has connected to the other system.
    has_tunnel = False

    def shut_down(self) -> None:
        """Ends a read in another thread, which closing would not do."""
        with suppress(OSError):
            # The plain socket: an SSLSocket would first send its closing message.
            if self.sock is not None:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def _new_conn(self) -> socket.socket:
        # Before connecting: a refused address may not respond at all, which would look like an outage.
        check_host(self._dns_host)
        connected = super()._new_conn()
        # After connecting: the name may resolve differently now.
        try:
            check_address(self.host, connected.getpeername()[0])
        except AddressRefused:
            connected.close()
            raise
        report(Stage.CONNECTED, connected)
        return connected

    def _tunnel(self) -> None:
        super()._tunnel()
        self.has_tunnel = True
        report(Stage.TUNNELLED)


class _GuardedHTTPSConnection(_GuardedHTTPConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        if not self.proxy_is_forwarding:
            report(Stage.SECURED, self.sock)


class _GuardedHTTPConnectionPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTPConnection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made: WeakSet[_GuardedHTTPConnection] = WeakSet()

    def _new_conn(self) -> Any:
        made: Any = super()._new_conn()
        self._made.add(made)
        return made

    def shut_down(self) -> None:
        for connection in list(self._made):
            connection.shut_down()


class _GuardedHTTPSConnectionPool(_GuardedHTTPConnectionPool, HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPSConnection


_POOL_CLASSES: dict[str, Any] = {
    "http": _GuardedHTTPConnectionPool,
    "https": _GuardedHTTPSConnectionPool,
}


class GuardedAdapter(HTTPAdapter):
    """Sends requests over guarded connections; proxies and other settings of the environment are ignored.

    With a proxy, the guarded connection is that to the proxy: check the target with `check_host`.
    """

    def __init__(
        self, ssl_context: SSLContext | None = None, proxy_ssl_context: SSLContext | None = None
    ) -> None:
        self._tls: dict[str, Any] = {"ssl_context": ssl_context} if ssl_context else {}
        self._proxy_ssl_context = proxy_ssl_context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs | self._tls)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager: Any = super().proxy_manager_for(
            proxy, **kwargs, **self._tls, proxy_ssl_context=self._proxy_ssl_context
        )
        manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # By the scheme of the connection: requests would not verify an HTTPS proxy to an http target.
        adapter: Any = super()
        adapter.cert_verify(conn, f"{conn.scheme}://", verify, cert)

    def connect(self, request: PreparedRequest, timeout: float, proxies: Mapping[str, str]) -> None:
        """Connects as `send` does, and reports the stages. Raises the same errors."""
        verify = trusted_certificates()
        pool: Any = self.get_connection_with_tls_context(request, verify, dict(proxies))
        self.cert_verify(pool, str(request.url), verify, None)
        connection = pool._new_conn()
        connection.timeout = timeout
        try:
            if connection.proxy and urlsplit(request.url).scheme == "https":
                pool._prepare_proxy(connection)
            else:
                connection.connect()
        except (OSError, HTTPError) as error:
            if connection.proxy and not connection.has_tunnel:
                error = ProxyError("Unable to connect to proxy", error)
            raise RequestsConnectionError(error) from error
        finally:
            connection.close()

    def shut_down(self) -> None:
        """Shuts down the connections that another thread is waiting for."""
        for manager in (self.poolmanager, *list(self.proxy_manager.values())):
            for key in manager.pools.keys():  # noqa: SIM118 - not a dict, and cannot be iterated
                if (pool := manager.pools.get(key)) is not None:
                    pool.shut_down()


def trusted_certificates() -> str | bool:
    """The file of CA certificates that the operator configured, or True for the default."""
    return os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or True

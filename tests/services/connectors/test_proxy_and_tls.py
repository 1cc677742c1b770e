"""Proxy, private certificate authorities and client certificate of a connection."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.services.connectors.base import ConnectorError
from tests.http_server import QuietHandler, http_server
from tests.services.certificates import create_certificate
from tests.services.transfers import connection_to, make_context, pull, push
from tests.services.web import Reply, reply_json, serving


class Proxy:
    def __init__(self):
        self.url = ""
        # Request lines: "CONNECT host:port", "GET http://…".
        self.requests = []
        # Status of the response to CONNECT.
        self.status = 200


@contextmanager
def proxying(certificate: Path | None = None) -> Iterator[Proxy]:
    """A forward proxy for http and https; with a PEM file of key and certificate, over TLS."""
    proxy = Proxy()

    class Handler(QuietHandler):
        def do_CONNECT(self) -> None:
            proxy.requests.append(f"CONNECT {self.path}")
            if proxy.status != 200:
                self.send_error(proxy.status)
                return
            host, _colon, port = self.path.partition(":")
            with socket.create_connection((host, int(port))) as target:
                self.send_response(200)
                self.end_headers()
                _relay(self.connection, target)
            self.close_connection = True

        def _forward(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = HTTPConnection(parts.netloc)
            target.request(self.command, f"{parts.path or '/'}?{parts.query}", body, dict(self.headers))
            response = target.getresponse()
            content = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            target.close()

        do_GET = do_POST = _forward

    with http_server(Handler, certificate=certificate) as proxy.url:
        yield proxy


def _relay(client: socket.socket, target: socket.socket) -> None:
    """Passes data on in both directions until one end closes."""
    ends = {client: target, target: client}
    while True:
        for ready in select.select([*ends], [], [], 10)[0]:
            if not (data := ready.recv(65536)):
                return
            ends[ready].sendall(data)


def test_http_requests_pass_through_the_proxy():
    with serving(lambda request: reply_json([{"id": 1}])) as web, proxying() as proxy:
        connection = connection_to(web.url, proxy=proxy.url, auth="bearer", secret="s3cret")
        pull(connection, {"path": "/a"})
        push(connection, {"path": "/b"}, [[{"id": 1}]])

    assert proxy.requests == [f"GET {web.url}/a", f"POST {web.url}/b"]
    assert [request.headers["authorization"] for request in web.requests] == ["Bearer s3cret"] * 2


def test_https_requests_pass_through_a_tunnel(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with (
        serving(lambda request: reply_json([1]), certificate=certificate) as web,
        proxying() as proxy,
    ):
        pages = pull(connection_to(web.url, proxy=proxy.url, ca_file=str(certificate)), {})

    assert pages[0].records == [1]
    assert proxy.requests == [f"CONNECT {web.url.removeprefix('https://')}"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_certificate_of_an_https_proxy_is_verified(tmp_path, scheme):
    certificate = create_certificate(tmp_path / "both.pem")
    target = certificate if scheme == "https" else None
    with (
        serving(lambda request: reply_json([1]), certificate=target) as web,
        proxying(certificate) as proxy,
    ):
        pages = pull(connection_to(web.url, proxy=proxy.url, ca_file=str(certificate)), {})
        with pytest.raises(ConnectorError, match=r"not trusted .*ca_file of the connection"):
            pull(connection_to(web.url, proxy=proxy.url), {}, make_context(max_attempts=3))

    assert pages[0].records == [1]
    assert len(proxy.requests) == len(web.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "metadata.google.internal"])
def test_metadata_address_is_refused_behind_a_proxy(scheme, host):
    with proxying() as proxy, pytest.raises(ConnectorError, match="metadata"):
        pull(connection_to(f"{scheme}://{host}", proxy=proxy.url), {}, make_context(max_attempts=3))

    assert proxy.requests == []


def test_redirect_to_a_metadata_address_is_refused_behind_a_proxy():
    reply = Reply(302, b"", {"Location": "http://169.254.169.254/latest"})
    with (
        serving(lambda request: reply) as web,
        proxying() as proxy,
        pytest.raises(ConnectorError, match="metadata"),
    ):
        pull(connection_to(web.url, proxy=proxy.url), {"path": "/a"})

    assert proxy.requests == [f"GET {web.url}/a"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://nowhere.invalid:3128"])
def test_proxy_that_is_down_is_reported(scheme, proxy):
    with pytest.raises(ConnectorError, match=r"the proxy failed .*gave up after 2 attempts") as caught:
        push(connection_to(f"{scheme}://127.0.0.1:9", proxy=proxy), {}, [[1]], make_context(max_attempts=2))

    assert caught.value.may_have_arrived is False


def test_proxy_that_refuses_the_tunnel_is_reported():
    with proxying() as proxy:
        proxy.status = 407
        with pytest.raises(ConnectorError, match=r"the proxy failed .*407") as caught:
            push(connection_to("https://127.0.0.1:9", proxy=proxy.url), {}, [[1]])

    assert caught.value.may_have_arrived is False


def test_certificate_of_a_private_authority_is_trusted(tmp_path):
    certificate = create_certificate(tmp_path / "server.pem")
    with serving(lambda request: reply_json([1]), certificate=certificate) as web:
        pages = pull(connection_to(web.url, ca_file=str(certificate)), {})
        with pytest.raises(ConnectorError, match=r"not trusted .*ca_file of the connection"):
            pull(connection_to(web.url), {})

    assert pages[0].records == [1]


def test_client_certificate_is_presented(tmp_path):
    server, client = create_certificate(tmp_path / "server.pem"), create_certificate(tmp_path / "client.pem")
    with serving(lambda request: reply_json([1]), certificate=server, client_ca=client) as web:
        pages = pull(connection_to(web.url, ca_file=str(server), client_cert_file=str(client)), {})
        with pytest.raises(ConnectorError):
            pull(connection_to(web.url, ca_file=str(server)), {})

    assert pages[0].records == [1]
    assert len(web.requests) == 1


def test_client_certificate_is_not_presented_to_another_system(tmp_path):
    server, client = create_certificate(tmp_path / "server.pem"), create_certificate(tmp_path / "client.pem")
    with serving(lambda request: reply_json([1]), certificate=server, client_ca=client) as other:
        redirect = Reply(302, b"", {"Location": other.url})
        with serving(lambda request: redirect, certificate=server) as web, pytest.raises(ConnectorError):
            pull(connection_to(web.url, ca_file=str(server), client_cert_file=str(client)), {})

    assert other.requests == []


@pytest.mark.parametrize(
    ("option", "content", "reason"),
    [
        ("ca_file", None, "No such file"),
        ("ca_file", "no certificate", "contains no certificate in PEM form"),
        ("client_cert_file", None, "No such file"),
        ("client_cert_file", "no certificate", "contains no certificate in PEM form"),
        ("client_cert_file", "without key", "contains no private key in PEM form; add the key"),
        ("client_cert_file", "encrypted", "its private key is encrypted; remove the passphrase"),
        ("client_cert_file", "other key", "the private key does not belong to the certificate"),
    ],
)
def test_invalid_file_is_reported(tmp_path, option, content, reason):
    path = tmp_path / "file.pem"
    begin = "-----BEGIN CERTIFICATE-----"
    if content == "encrypted":
        create_certificate(path, passphrase="open sesame")
    elif content in ("without key", "other key"):
        certificate = begin + create_certificate(path).read_text().partition(begin)[2]
        key = create_certificate(tmp_path / "other.pem").read_text().partition(begin)[0]
        path.write_text(certificate + (key if content == "other key" else ""))
    elif content:
        path.write_text(content)

    with pytest.raises(ConnectorError, match=f"{option} {path} cannot be used: .*{reason}"):
        pull(connection_to("https://127.0.0.1:9", **{option: str(path)}), {})

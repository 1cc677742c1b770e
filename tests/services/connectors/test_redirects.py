"""Redirects and links to other systems: followed without credentials, and never to link-local addresses."""

from ipaddress import ip_network

import pytest

from apps.services.connectors.address_guard import AddressRefused, check_address
from apps.services.connectors.base import ConnectorError
from apps.services.connectors.http.client import is_same_system
from tests.services.transfers import connection_to, make_context, pull
from tests.services.web import Reply, reply_json, serving

REFUSED = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
]


@pytest.mark.parametrize("address", REFUSED)
def test_link_local_and_metadata_addresses_are_rejected(address):
    with pytest.raises(AddressRefused, match="link-local or cloud metadata"):
        check_address("host", address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd12::1", "93.184.215.14"]
)
def test_loopback_private_and_public_addresses_are_allowed(address):
    check_address("host", address)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"])
def test_metadata_address_is_rejected_before_any_request(host, caplog):
    with pytest.raises(AddressRefused):
        pull(connection_to(f"http://{host}/latest/meta-data"), {}, make_context(max_attempts=3))

    assert caplog.records == []


def test_redirect_to_metadata_address_is_rejected():
    target = {"Location": "http://169.254.169.254/latest/meta-data"}
    with serving(lambda request: Reply(302, b"", target)) as web, pytest.raises(AddressRefused):
        pull(connection_to(web.url), {}, make_context(max_attempts=3))

    assert len(web.requests) == 1


def test_peer_address_is_checked_after_connecting(monkeypatch):
    """A host name whose address changes between the two checks is rejected (DNS rebinding)."""
    monkeypatch.setattr("apps.services.connectors.address_guard.check_host", lambda host: None)
    monkeypatch.setattr(
        "apps.services.connectors.address_guard.REFUSED_NETWORKS",
        (ip_network("127.0.0.0/8"),),
    )

    with serving(lambda request: reply_json([])) as web, pytest.raises(AddressRefused):
        pull(connection_to(web.url), {})

    assert web.requests == []


AUTHENTICATIONS = [
    {"auth": "bearer", "secret": "s3cret"},
    {"auth": "basic", "auth_username": "me", "secret": "s3cret"},
    {"auth": "header", "auth_header": "X-Api-Key", "secret": "s3cret"},
]


@pytest.mark.parametrize("fields", AUTHENTICATIONS)
def test_redirect_to_another_system_carries_no_credentials(fields):
    with (
        serving(lambda request: reply_json([])) as other,
        serving(lambda request: Reply(307, b"", {"Location": f"{other.url}/x", "Set-Cookie": "a=b"})) as web,
    ):
        pull(connection_to(web.url, **fields), {"headers": {"X-Tenant": "acme"}})

    sent = other.requests[0].headers
    assert {"authorization", "x-api-key", "cookie", "x-tenant"}.isdisjoint(sent)
    assert "authorization" in web.requests[0].headers or "x-api-key" in web.requests[0].headers


def test_redirect_back_from_another_system_carries_no_credentials():
    with serving(lambda request: Reply(302, b"", {"Location": request.query["back"]})) as other:

        def respond(request):
            if request.path == "/first":
                return Reply(
                    302, b"", {"Location": f"{other.url}/?back=http://{request.headers['host']}/second"}
                )
            return reply_json([])

        with serving(respond) as web:
            pull(connection_to(web.url, auth="bearer", secret="s3cret"), {"path": "first"})

    assert [("authorization" in request.headers) for request in web.requests] == [True, False]


def test_redirect_within_the_system_carries_credentials():
    def respond(request):
        return reply_json([]) if request.path == "/b" else Reply(301, b"", {"Location": "/b"})

    with serving(respond) as web:
        pull(connection_to(web.url, auth="bearer", secret="s3cret"), {"path": "a"})

    assert [request.headers["authorization"] for request in web.requests] == ["Bearer s3cret"] * 2


def test_next_link_to_another_system_gets_no_credentials():
    with (
        serving(lambda request: reply_json([2])) as other,
        serving(lambda request: reply_json([1], Link=f"<{other.url}>; rel=next")) as web,
    ):
        pages = pull(connection_to(web.url, auth="bearer", secret="s3cret"), {"pagination": {"type": "link"}})

    assert [page.records for page in pages] == [[1], [2]]
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
def test_redirect_to_another_scheme_is_rejected(location):
    with (
        serving(lambda request: Reply(302, b"", {"Location": location})) as web,
        pytest.raises(ConnectorError, match="neither http nor https"),
    ):
        pull(connection_to(web.url), {})


def test_endless_redirects_are_reported():
    with (
        serving(lambda request: Reply(302, b"", {"Location": request.path + "x"})) as web,
        pytest.raises(ConnectorError, match="redirected more than 5 times"),
    ):
        pull(connection_to(web.url), {"path": "a"})

    assert len(web.requests) == 6


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("https://shop/other", True),
        ("https://SHOP:443/", True),
        ("http://shop/", False),
        ("https://shop:8443/", False),
        ("https://shop.evil/", False),
        ("https://evil@shop.evil/", False),
        ("https://[", False),
    ],
)
def test_same_system_has_same_scheme_host_and_port(url, is_same):
    assert is_same_system("https://shop/api", url) is is_same


def test_upgrade_to_tls_counts_as_same_system():
    assert is_same_system("http://shop/api", "https://shop/api")

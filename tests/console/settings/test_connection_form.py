"""Connection form: validation, secrets, permissions."""

import pytest
from django.urls import reverse

from apps.console.settings.connection_form import ConnectionForm
from apps.services.models import Connection, HostKey
from tests.factories import make_connection, make_service, make_user
from tests.openssh import create_key

pytestmark = pytest.mark.django_db

FILLED = {
    "name": "shop",
    "kind": "http",
    "url": "https://shop.example",
    "connect_timeout": "5",
    "read_timeout": "30",
    "auth": "none",
}
SFTP = FILLED | {"kind": "file", "url": "sftp://host/in", "auth": "key", "auth_username": "me"}
BEARER = {"auth": "bearer", "secret": "s3cret-of-the-shop"}

OAUTH = {
    "auth": "oauth2",
    "auth_token_url": "https://shop.example/token",
    "auth_client_id": "me",
    "secret": "s3cret-of-the-client",
}


@pytest.fixture
def keys(tmp_path):
    """Private keys without and with a passphrase, one that is cut, and a public key."""
    plain = create_key(tmp_path / "plain")
    create_key(tmp_path / "protected", passphrase="open sesame")
    texts = {name: (tmp_path / name).read_text() for name in ("plain", "protected")}
    return texts | {"public": plain.read_text(), "cut": texts["plain"].replace("\n", "", 2)[:200]}


def save(data, instance=None):
    form = ConnectionForm(data, instance=instance)
    assert form.errors == {}
    return form.save()


def errors_of(instance=None, **changed):
    return {
        field: list(messages)
        for field, messages in ConnectionForm(FILLED | changed, instance=instance).errors.items()
    }


def test_saved_connection_has_an_encrypted_secret():
    connection = save(FILLED | BEARER)

    connection.refresh_from_db()
    assert connection.get_secret() == "s3cret-of-the-shop"
    assert "s3cret" not in connection.secret_encrypted


def test_limit_of_requests_is_saved_and_removed():
    connection = save(FILLED | {"requests_per_minute": "120"})
    assert Connection.objects.get().requests_per_minute == 120

    save(FILLED, connection)
    assert Connection.objects.get().requests_per_minute is None


def test_proxy_and_files_are_saved():
    save(FILLED | {"proxy": "http://p:3128", "ca_file": "/etc/ca.pem", "client_cert_file": "/etc/me.pem"})

    saved = Connection.objects.get()
    assert (saved.proxy, saved.ca_file, saved.client_cert_file) == (
        "http://p:3128",
        "/etc/ca.pem",
        "/etc/me.pem",
    )


def test_empty_secret_keeps_stored_secret_and_checkbox_removes_it():
    connection = make_connection(name="shop", url=FILLED["url"], auth="bearer", secret="old")

    save(FILLED | {"auth": "bearer"}, connection)
    assert Connection.objects.get().get_secret() == "old"

    save(FILLED | {"remove_secret": "on"}, connection)
    assert Connection.objects.get().has_secret is False


def test_refresh_token_is_encrypted_kept_and_removed_with_its_grant():
    filled = FILLED | OAUTH | {"auth_grant": "refresh_token"}
    connection = save(filled | {"refresh_token": "s3cret-refresh"})
    assert Connection.objects.get().get_refresh_token() == "s3cret-refresh"
    assert "s3cret" not in Connection.objects.get().refresh_token_encrypted

    save(filled, connection)
    assert Connection.objects.get().get_refresh_token() == "s3cret-refresh"

    save(filled | {"auth_grant": "client_credentials"}, connection)
    assert Connection.objects.get().refresh_token_encrypted == ""


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"kind": "queue"}, "kind", "Select a valid choice. queue is not one of the available choices."),
        ({"url": "file:///srv"}, "url", "“file:///srv” has no valid scheme. Allowed: http://, https://."),
        (
            {"url": "http:///orders"},
            "url",
            "The address has no host; write one such as http://127.0.0.1:3000.",
        ),
        (
            {"url": "https://me:pw@shop.example"},
            "url",
            "Credentials are not allowed in an address; enter them under authentication.",
        ),
        (
            {"auth": "bearer"},
            "secret",
            "Required; enter the secret, or name the environment variable that contains it.",
        ),
        ({"secret": "x"}, "secret", "Not used without authentication; choose one, or leave this empty."),
        (
            {"auth": "bearer", "secret": "x", "secret_env": "SHOP_TOKEN"},
            "secret",
            "Enter a secret or name a variable, not both.",
        ),
        (
            {"auth": "bearer", "secret": "a\nb"},
            "secret",
            "Line breaks and other control characters are not allowed; remove them.",
        ),
        (
            {"auth": "bearer", "secret_env": "SHOP-TOKEN"},
            "secret_env",
            "Invalid variable name; use letters, digits and _, as in SHOP_TOKEN.",
        ),
        (
            {"auth": "basic", "secret": "x"},
            "auth_username",
            "Required.",
        ),
        (
            {"auth": "basic", "secret": "x", "auth_username": "a:b"},
            "auth_username",
            "Colons and control characters are not allowed; remove them.",
        ),
        (
            {"auth": "header", "secret": "x"},
            "auth_header",
            "Required.",
        ),
        (
            {"auth": "header", "secret": "x", "auth_header": "X Key: 1"},
            "auth_header",
            "Invalid header name; use letters, digits and hyphens, as in X-Api-Key.",
        ),
        (OAUTH | {"auth_token_url": ""}, "auth_token_url", "Required."),
        (OAUTH | {"auth_client_id": ""}, "auth_client_id", "Required."),
        (
            OAUTH | {"auth_grant": "refresh_token"},
            "refresh_token",
            "Required; enter the secret, or name the environment variable that contains it.",
        ),
        (
            {"auth": "query", "secret": "x"},
            "auth_query",
            "Required.",
        ),
        (
            {"auth": "query", "secret": "x", "auth_query": "a&b"},
            "auth_query",
            "Invalid parameter name; write one without spaces and & = # ?, as in api_key.",
        ),
        (
            {"kind": "file", "url": "s3://drop", "auth": "bearer", "secret": "x"},
            "auth",
            "“bearer” is not valid. Allowed: none, basic, key.",
        ),
        (
            {"connect_timeout": "0"},
            "connect_timeout",
            "“0.0” is not valid; write a number from 0.1 to 120.",
        ),
        (
            {"proxy": "http://me:s3cret@proxy:3128"},
            "proxy",
            "Credentials are not supported; let the proxy accept the workers by their address.",
        ),
        ({"ca_file": "ca.pem"}, "ca_file", "Not an absolute path; start it with a slash."),
        ({"client_cert_file": "me.pem"}, "client_cert_file", "Not an absolute path; start it with a slash."),
        (
            {"requests_per_minute": "0"},
            "requests_per_minute",
            "“0” is not valid; write a whole number from 1 to 60000.",
        ),
    ],
)
def test_connection_error_is_reported_at_its_field(changed, field, reason):
    assert errors_of(**changed) == {field: [reason]}


def test_folder_outside_the_roots_is_rejected(settings, tmp_path):
    settings.FILE_ROOTS = [tmp_path / "drop"]
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "way-out").symlink_to("/etc")

    assert errors_of(kind="file", url=f"file://{tmp_path}/drop/in") == {}
    for outside in ("/etc", f"{tmp_path}/drop/way-out"):
        [reason] = errors_of(kind="file", url=f"file://{outside}")["url"]
        assert "is outside the folders in SYNCLOG_FILE_ROOTS" in reason


def test_secret_is_never_part_of_a_page(admin_client):
    connection = make_connection(auth="bearer", secret="s3cret-of-the-shop")
    connection.set_refresh_token("s3cret-refresh")
    connection.save()
    url = reverse("admin:services_connection_change", args=[connection.pk])

    page = admin_client.get(url).content.decode()
    rejected = admin_client.post(url, FILLED | BEARER | {"url": "gopher://x"}).content.decode()

    for html in (page, rejected):
        assert "A secret is stored and never shown." in html
        assert "s3cret" not in html
        assert connection.secret_encrypted not in html


def test_connection_can_be_added_and_changed(admin_client):
    added = admin_client.post(reverse("admin:services_connection_add"), FILLED | BEARER)
    connection = Connection.objects.get()
    url = reverse("admin:services_connection_change", args=[connection.pk])
    changed = admin_client.post(url, FILLED | {"auth": "bearer", "url": "https://shop.example/v2"})

    connection.refresh_from_db()
    assert (added.status_code, changed.status_code) == (302, 302)
    assert connection.url == "https://shop.example/v2"
    assert connection.get_secret() == "s3cret-of-the-shop"


def test_used_connection_cannot_be_deleted(admin_client):
    used, unused = make_connection(), make_connection()
    make_service(destination_connection=used)

    for connection, status in ((used, 403), (unused, 200)):
        page = admin_client.get(reverse("admin:services_connection_change", args=[connection.pk]))
        confirmation = admin_client.get(reverse("admin:services_connection_delete", args=[connection.pk]))
        assert (b"deletelink" in page.content, confirmation.status_code) == (status == 200, status)


@pytest.mark.parametrize("number", [1, 3])
def test_connection_list_counts_services_in_four_queries(admin_client, django_assert_num_queries, number):
    for _number in range(number):
        used = make_connection()
        make_service(source_connection=used, destination_connection=used)
        make_service(source_connection=used)
    admin_client.get(reverse("admin:services_connection_changelist"))

    with django_assert_num_queries(4):
        response = admin_client.get(reverse("admin:services_connection_changelist"))

    counts = {row.name: row.service_count for row in response.context["cl"].result_list}
    assert counts[used.name] == 2


def test_user_with_view_permission_sees_no_secret_field(client):
    connection = make_connection(auth="bearer", secret="s3cret-of-the-shop")
    client.force_login(make_user(permissions=["services.view_connection"]))

    page = client.get(reverse("admin:services_connection_change", args=[connection.pk])).content.decode()

    assert "s3cret" not in page
    assert 'type="password"' not in page


def test_private_key_and_passphrase_are_stored_encrypted_and_never_shown(admin_client, keys):
    filled = SFTP | {"private_key": keys["protected"], "passphrase": "open sesame"}
    connection = save(filled)
    url = reverse("admin:services_connection_change", args=[connection.pk])

    page = admin_client.get(url).content.decode()
    rejected = admin_client.post(url, filled | {"url": "gopher://x"}).content.decode()
    kept = admin_client.post(url, SFTP)

    connection = Connection.objects.get()
    assert (connection.get_secret(), connection.get_passphrase()) == (keys["protected"], "open sesame")
    assert kept.status_code == 302
    for html in (page, rejected):
        assert "A private key is stored and never shown." in html
        assert "A passphrase is stored and never shown." in html
        for secret in (
            keys["protected"].splitlines()[2],
            "open sesame",
            connection.secret_encrypted,
            connection.passphrase_encrypted,
        ):
            assert secret not in html


@pytest.mark.parametrize(
    ("key", "passphrase", "field", "reason"),
    [
        ("", "", "private_key", "Required; enter the secret, or name the environment variable"),
        ("hello", "", "private_key", "Not a private key; enter the whole file"),
        ("cut", "", "private_key", "The private key cannot be read ("),
        ("public", "", "private_key", "This is a public key; enter the private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "", "private_key", "This is a PuTTY key; convert it"),
        ("protected", "", "passphrase", "The private key is protected by a passphrase; enter it."),
        ("protected", "wrong", "passphrase", "The passphrase does not fit the private key; enter it again."),
    ],
)
def test_unusable_private_key_is_reported_at_its_field(keys, key, passphrase, field, reason):
    form = ConnectionForm(SFTP | {"private_key": keys.get(key, key), "passphrase": passphrase})

    assert list(form.errors) == [field]
    assert form.errors[field][0].startswith(reason)


def test_stored_password_is_not_used_as_private_key():
    connection = make_connection(kind="file", url="sftp://host/in", auth="basic", secret="old")

    assert list(ConnectionForm(SFTP, instance=connection).errors) == ["private_key"]


def test_other_authentication_removes_the_passphrase(keys):
    connection = save(SFTP | {"private_key": keys["protected"], "passphrase": "open sesame"})

    save(SFTP | {"auth": "basic", "secret": "password"}, connection)

    connection.refresh_from_db()
    assert (connection.get_secret(), connection.get_passphrase()) == ("password", "")


def test_private_key_is_for_sftp_only(keys):
    form = ConnectionForm(SFTP | {"url": "s3://bucket", "private_key": keys["plain"]})

    assert form.errors == {"auth": ["Only sftp:// supports private keys; use basic authentication or none."]}


def test_host_key_is_shown_and_forgotten(admin_client, client):
    connection = make_connection(kind="file", url="sftp://host:2222/in", name="shop")
    other = HostKey.objects.create(host="host", algorithm="ssh-ed25519", key="AAAA")
    key = HostKey.objects.create(host="[host]:2222", algorithm="ssh-ed25519", key="AAAB")
    url = reverse("admin:services_connection_change", args=[connection.pk])
    client.force_login(make_user(permissions=["services.view_connection"]))

    pages = [each.get(url).content.decode() for each in (admin_client, client)]
    response = admin_client.post(
        url, FILLED | {"kind": "file", "url": connection.url, "forget_host_key": "on"}
    )

    assert response.status_code == 302
    for page in pages:
        assert f"ssh-ed25519 {key.fingerprint}, remembered" in page
        assert other.fingerprint not in page
    assert ["forget_host_key" in page for page in pages] == [True, False]
    assert list(HostKey.objects.all()) == [other]
    assert "forget_host_key" not in admin_client.get(url).content.decode()

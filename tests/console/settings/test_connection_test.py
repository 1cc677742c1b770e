"""Test connection: unsaved values, stored secrets, permissions, audit; nothing is saved."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from apps.console.settings import connection_test
from apps.services.models import Connection, HostKey
from tests.factories import make_connection, make_service, make_user
from tests.services.web import reply_json, serving

pytestmark = pytest.mark.django_db(transaction=True)

URL = reverse("admin:services_connection_test")
SECRET = "s3cret-of-the-shop"


def form_data(url, **fields):
    return {
        "name": "shop",
        "kind": "http",
        "url": url,
        "connect_timeout": "5",
        "read_timeout": "30",
        "auth": "none",
    } | fields


def url_for(connection):
    return reverse("admin:services_connection_test", query={"id": connection.pk, "fragment": 1})


def respond(request):
    return reply_json([], 200 if request.headers.get("authorization") == f"Bearer {SECRET}" else 401)


@pytest.fixture
def web():
    with serving(respond) as running:
        yield running


@pytest.fixture
def admin(client):
    client.force_login(make_user(is_superuser=True))
    return client


def test_unsaved_secret_is_used_and_nothing_is_saved(admin, web):
    response = admin.post(f"{URL}?fragment=1", form_data(web.url, auth="bearer", secret=SECRET))

    html = response.content.decode()
    assert "The connection works" in html
    assert "<html" not in html
    assert SECRET not in html
    assert Connection.objects.count() == 0
    entry = LogEntry.objects.get()
    assert (entry.change_message, entry.object_id, entry.object_repr) == (
        f"Tested connection ({web.url}): succeeded",
        None,
        "shop",
    )


def test_result_is_a_page_without_javascript(admin, web):
    response = admin.post(URL, form_data(web.url))

    assert "<html" in response.content.decode()
    assert "Failed at: Request" in response.content.decode()


def test_empty_secret_means_the_stored_one(admin, web):
    connection = make_connection(url=web.url, auth="bearer", secret=SECRET)

    response = admin.post(url_for(connection), form_data(f"{web.url}/v2", auth="bearer"))

    assert "The connection works" in response.content.decode()
    connection.refresh_from_db()
    assert connection.url == web.url


def test_entered_secret_replaces_the_stored_one_for_the_test_only(admin, web):
    connection = make_connection(url=web.url, auth="bearer", secret=SECRET)

    response = admin.post(url_for(connection), form_data(web.url, auth="bearer", secret="another-one"))

    assert "Failed at: Authenticate" in response.content.decode()
    connection.refresh_from_db()
    assert connection.get_secret() == SECRET
    entry = LogEntry.objects.get()
    assert entry.change_message == f"Tested connection ({web.url}): failed at Authenticate"
    assert entry.object_id == str(connection.pk)


def test_invalid_fields_are_shown_instead_of_a_test(admin):
    response = admin.post(f"{URL}?fragment=1", form_data("ftp://x", auth="bearer"))

    html = response.content.decode()
    assert "Not tested: correct these fields first." in html
    assert "has no valid scheme" in html
    assert LogEntry.objects.count() == 0


def test_connection_without_a_name_is_tested(admin, web):
    response = admin.post(f"{URL}?fragment=1", form_data(web.url, name="", auth="bearer", secret=SECRET))

    assert "The connection works" in response.content.decode()


def test_host_key_to_forget_stays_stored(admin):
    connection = make_connection(kind="file", url="sftp://127.0.0.1:9/in")
    HostKey.objects.create(host=connection.ssh_host, algorithm="ssh-ed25519", key="AAAA")

    admin.post(url_for(connection), form_data(connection.url, kind="file", forget_host_key="on"))

    assert HostKey.objects.count() == 1


def test_tokens_are_shared_only_while_the_authentication_is_unchanged(admin, monkeypatch):
    tested = []
    monkeypatch.setattr(
        connection_test,
        "try_connection",
        lambda connection, **_options: tested.append(connection) or connection_test.ConnectionTest(),
    )
    fields = {"auth": "oauth2", "auth_token_url": "http://127.0.0.1:9/token", "auth_client_id": "me"}
    connection = make_connection(**fields, secret=SECRET, requests_per_minute=60)
    data = form_data(connection.url, **fields, auth_grant="client_credentials", requests_per_minute="60")

    admin.post(url_for(connection), data)
    admin.post(url_for(connection), data | {"auth_client_id": "other"})

    assert [each._state.adding for each in tested] == [False, True]
    assert [each.requests_per_minute for each in tested] == [60, None]


def test_chosen_connection_is_tested_from_the_service_page(client, web):
    connection = make_connection(url=web.url, auth="bearer", secret=SECRET)
    url = reverse("admin:services_connection_test_chosen", args=["source"], query={"fragment": "1"})
    client.force_login(make_user(permissions=["services.change_service"]))

    html = client.post(url, {"source_connection": connection.pk}).content.decode()
    assert "The connection works" in html
    assert "Choose a connection first." in client.post(url, {"source_connection": ""}).content.decode()
    assert client.get(url).status_code == 405
    assert "The connection was not found; choose another." in (
        client.post(url, {"source_connection": 10**6}).content.decode()
    )


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([], [403, 403, 403]),
        (["services.view_connection"], [403, 403, 403]),
        (["services.add_connection"], [200, 403, 403]),
        (["services.change_connection"], [403, 200, 200]),
        (["services.add_service"], [403, 403, 200]),
    ],
)
def test_test_needs_the_permission_to_write(client, permissions, expected):
    connection = make_connection()
    client.force_login(make_user(permissions=permissions))
    data = form_data(connection.url, name=connection.name)
    data |= {"source_connection": connection.pk}
    chosen = reverse("admin:services_connection_test_chosen", args=["source"])

    found = [client.post(url, data).status_code for url in (URL, url_for(connection), chosen)]

    # The page of a connection that the user may not even view does not exist.
    assert found == expected
    assert LogEntry.objects.count() == expected.count(200)


def test_hidden_connection_is_not_found(client):
    from django.contrib.auth.models import Group

    connection = make_connection()
    make_service(source_connection=connection, groups=[Group.objects.create(name="Payroll")])
    client.force_login(make_user(permissions=["services.change_connection"]))

    assert client.post(url_for(connection), form_data("http://127.0.0.1:9")).status_code == 404
    chosen = reverse("admin:services_connection_test_chosen", args=["source"])
    response = client.post(chosen, {"source_connection": connection.pk})
    assert "The connection was not found; choose another." in response.content.decode()


def test_connection_that_was_deleted_meanwhile_is_tested_as_a_new_one(admin, web):
    connection = make_connection(url=web.url)
    url, data = url_for(connection), form_data(web.url, auth="bearer", secret=SECRET)
    connection.delete()

    assert "The connection works" in admin.post(url, data).content.decode()


@pytest.mark.parametrize("key", ["x", "1;2"])
def test_unknown_connection_is_not_found(admin, key):
    response = admin.post(reverse("admin:services_connection_test", query={"id": key}), form_data("http://x"))

    assert response.status_code == 404


def test_form_offers_the_test_to_users_who_may_write(client):
    connection = make_connection()
    page = reverse("admin:services_connection_change", args=[connection.pk])

    client.force_login(make_user(permissions=["services.view_connection"]))
    assert "Test connection" not in client.get(page).content.decode()

    client.force_login(make_user(permissions=["services.change_connection"]))
    assert f'formaction="{URL}?id={connection.pk}"' in client.get(page).content.decode()


def test_stored_secret_is_not_sent_to_another_system(admin, web):
    connection = make_connection(url="http://127.0.0.1:9", auth="bearer", secret=SECRET)
    data = form_data(web.url, name=connection.name, auth="bearer")
    html = admin.post(url_for(connection), data).content.decode()
    assert "The address leads to another system" in html
    assert web.requests == []

    saved = admin.post(reverse("admin:services_connection_change", args=[connection.pk]), data)
    assert "The address leads to another system" in saved.content.decode()
    connection.refresh_from_db()
    assert connection.url == "http://127.0.0.1:9"
    assert (
        "The connection works" in admin.post(url_for(connection), data | {"secret": SECRET}).content.decode()
    )

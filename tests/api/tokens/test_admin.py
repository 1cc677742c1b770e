"""Admin of tokens: creation, the only display of the token, revocation."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.api.models import ApiToken, digest, is_well_formed
from tests.api.conftest import client_of
from tests.factories import make_service, make_token, make_user

pytestmark = pytest.mark.django_db

PERMISSIONS = (
    "api.add_apitoken",
    "api.view_apitoken",
    "api.change_apitoken",
    "api.delete_apitoken",
    "services.view_service",
)
LIST = "/admin/api/apitoken/"


def logged_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ann(db):
    return make_user("ann", permissions=PERMISSIONS)


@pytest.fixture
def browser(ann):
    return logged_in(ann)


def form(user, **fields):
    return {"name": "Export", "user": user.pk, "scopes": ["run:read"], "days": "30"} | fields


def test_token_is_shown_once_and_works(browser, ann):
    response = browser.post(LIST + "add/", form(ann))

    (secret,) = set(re.findall(r"synclog_\w+", response.content.decode()))
    token = ApiToken.objects.get()
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert is_well_formed(secret)
    assert token.digest == digest(secret)
    assert (token.user, token.scopes) == (ann, ["run:read"])
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert client_of(secret).get("/api/v1/runs/").status_code == 200


def test_token_appears_on_no_other_page_and_is_not_stored(browser, ann):
    shown = browser.post(LIST + "add/", form(ann))
    (secret,) = set(re.findall(r"synclog_\w+", shown.content.decode()))

    pages = [browser.get(path).content.decode() for path in (LIST, _change(ApiToken.objects.get()))]

    assert [secret in page for page in pages] == [False, False]
    assert not any(secret in str(session.get_decoded()) for session in Session.objects.all())
    assert not any(secret in f"{entry.object_repr}{entry.change_message}" for entry in LogEntry.objects.all())
    assert not any(secret in morsel.value for morsel in browser.cookies.values())


def test_page_of_a_new_token_has_no_inline_script_or_style(browser, ann):
    text = browser.post(LIST + "add/", form(ann)).content.decode()

    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=", text)


def test_token_can_be_limited_to_services(browser, ann):
    service = make_service()

    browser.post(LIST + "add/", form(ann, services=[service.pk]))

    assert list(ApiToken.objects.get().services.all()) == [service]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["run:write"]}, "scopes"),
        ({"days": "0"}, "days"),
        ({"days": "366"}, "days"),
        ({"days": "soon"}, "days"),
        ({"services": ["999"]}, "services"),
    ],
)
def test_invalid_form_creates_no_token(browser, ann, fields, field):
    response = browser.post(LIST + "add/", form(ann, **fields))

    assert list(response.context["adminform"].form.errors) == [field]
    assert not ApiToken.objects.exists()


def test_only_superusers_create_tokens_of_other_users(browser):
    other = make_user("bob")

    refused = browser.post(LIST + "add/", form(other))
    created = logged_in(make_user(is_superuser=True)).post(LIST + "add/", form(other))

    assert list(refused.context["adminform"].form.errors) == ["user"]
    assert created.status_code == 200
    assert ApiToken.objects.get().user == other


def test_only_superusers_see_tokens_of_other_users(browser, ann):
    own, _secret = make_token(ann, name="mine")
    other, _secret = make_token(make_user(), name="foreign")

    assert "foreign" not in browser.get(LIST).content.decode()
    assert browser.get(_change(own)).status_code == 200
    assert browser.get(_change(other)).status_code == 302
    assert browser.post(_revoke(other)).status_code == 404
    assert logged_in(make_user(is_superuser=True)).get(_change(other)).status_code == 200


@pytest.mark.parametrize("number", [1, 3])
def test_list_takes_the_same_queries_for_1_and_3_tokens(number, django_assert_num_queries, browser, ann):
    for _index in range(number):
        make_token(ann)

    with django_assert_num_queries(4):
        response = browser.get(LIST)

    assert len(response.context["cl"].result_list) == number


def test_list_shows_the_state(browser, ann):
    make_token(ann)
    make_token(ann)[0].revoke()
    make_token(ann, expires_at=timezone.now())

    text = browser.get(LIST).content.decode()

    assert [text.count(f">{state}<") for state in ("Active", "Revoked", "Expired")] == [1, 1, 1]


def test_only_the_name_of_a_token_can_be_changed(browser, ann):
    token, _secret = make_token(ann, scopes=["run:read"])
    before = ApiToken.objects.values().get()

    browser.post(_change(token), form(make_user(), name="Other", scopes=["run:report"], days="1", digest="x"))

    assert ApiToken.objects.values().get() == before | {"name": "Other"}


def test_revoke_button_revokes_the_token(browser, ann):
    token, secret = make_token(ann)
    assert _revoke(token) in browser.get(_change(token)).content.decode()

    response = browser.post(_revoke(token))

    assert response.status_code == 302
    assert client_of(secret).get("/api/v1/runs/").status_code == 401
    assert _revoke(token) not in browser.get(_change(token)).content.decode()


def test_revocation_requires_post_and_the_permission(browser, ann):
    token, _secret = make_token(ann)
    viewer = make_user(permissions=["api.view_apitoken"])
    token_of_viewer, _secret = make_token(viewer)

    assert browser.get(_revoke(token)).status_code == 405
    assert logged_in(viewer).post(_revoke(token_of_viewer)).status_code == 403
    assert Client().post(_revoke(token)).status_code == 302
    assert not ApiToken.objects.exclude(revoked_at=None).exists()


def test_action_revokes_the_selected_tokens(browser, ann):
    tokens = [make_token(ann)[0] for _index in range(3)]
    make_token(make_user())

    browser.post(LIST, {"action": "revoke_tokens", "_selected_action": [token.pk for token in tokens]})

    assert ApiToken.objects.exclude(revoked_at=None).count() == 3


def test_used_token_cannot_be_deleted(browser, ann):
    unused, _secret = make_token(ann)
    used, _secret = make_token(ann)
    used.record_use("127.0.0.1")

    statuses = [
        browser.post(reverse("admin:api_apitoken_delete", args=(token.pk,)), {"post": "yes"}).status_code
        for token in (unused, used)
    ]

    assert statuses == [302, 403]
    assert ApiToken.objects.get() == used
    assert "delete_selected" not in browser.get(LIST).content.decode()


def _change(token):
    return reverse("admin:api_apitoken_change", args=(token.pk,))


def _revoke(token):
    return reverse("admin:api_apitoken_revoke", args=(token.pk,))

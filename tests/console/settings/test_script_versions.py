"""Script versions: list, comparison, restore, permissions and conflicts."""

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from apps.console.settings import script_versions
from apps.services.models import Script, Service
from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db

FIRST = "def transform(records):\n    return records\n"
SECOND = "def transform(records):\n    # <b>none</b>\n    return []\n"


@pytest.fixture
def service() -> Service:
    service = make_service(name="Orders", script=FIRST)
    service.set_script(SECOND, author=make_user("ada"))
    return service


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user(permissions=["services.view_service"]))
    return client


def page_of(service: Service) -> str:
    return reverse("admin:services_service_scripts", args=[service.pk])


def restore(client: Client, service: Service, version: int, *, latest: object = 2) -> str:
    """Restores a version and returns the messages of the page that follows."""
    url = reverse("admin:services_service_script_restore", args=[service.pk, version])
    response = client.post(url, {"latest": latest}, follow=True)
    assert response.redirect_chain == [(page_of(service), 302)]
    return " ".join(str(message) for message in response.context["messages"])


def sources(service: Service) -> list[str]:
    return list(service.scripts.order_by("version").values_list("source", flat=True))


def test_versions_are_listed_and_the_last_change_is_shown(viewer, service):
    for _number in range(2):
        make_run(service, script=service.scripts.get(version=1))

    response = viewer.get(page_of(service))
    text = response.content.decode()

    listed = [(one.version, one.run_count, one.created_by) for one in response.context["page"]]
    assert listed[1] == (1, 2, None)
    assert listed[0][:2] == (2, 0)
    assert str(listed[0][2]) == "ada"
    comparison = response.context["comparison"]
    assert [(line.kind, line.text) for line in comparison.lines] == [
        ("same", "def transform(records):"),
        ("removed", "    return records"),
        ("added", "    # <b>none</b>"),
        ("added", "    return []"),
        ("same", ""),
    ]
    assert "# &lt;b&gt;none&lt;/b&gt;" in text
    assert "2 added, 1 removed" in text
    assert "/restore/" not in text


def test_version_is_compared_with_the_current_one_or_any_other(viewer, service):
    service.set_script("")
    service.set_script(FIRST)

    def compared(query: str) -> tuple[int, int, int, int]:
        comparison = viewer.get(f"{page_of(service)}?{query}").context["comparison"]
        return comparison.old, comparison.new, comparison.added_count, comparison.removed_count

    assert compared("old=2") == (2, 4, 1, 2)
    assert compared("old=1") == (1, 4, 0, 0)
    assert compared("old=2&new=3") == (2, 3, 0, 4)
    assert compared("old=0&new=1") == (0, 1, 3, 0)
    assert compared("new=1") == (0, 1, 3, 0)
    assert compared("old=x&new=-1") == (3, 4, 3, 0)
    assert "Both versions have the same text." in viewer.get(f"{page_of(service)}?old=1").content.decode()
    for query in ("old=5", "new=99"):
        assert viewer.get(f"{page_of(service)}?{query}").status_code == 404


@pytest.mark.parametrize("kind", ["integration", "reported"])
def test_service_without_a_script_shows_an_empty_page(viewer, kind):
    ends = dict.fromkeys(("source_connection", "destination_connection")) if kind == "reported" else {}
    service = make_service(kind=kind, **ends)

    text = viewer.get(page_of(service)).content.decode()

    assert "No version yet" in text


def test_settings_page_links_to_the_versions(viewer, admin_client, service):
    settings = reverse("admin:services_service_change", args=[service.pk])

    for client in (viewer, admin_client):
        assert f'href="{page_of(service)}"' in client.get(settings).content.decode()


def test_restore_creates_a_version_and_is_recorded(admin_client, admin_user, service):
    assert "/scripts/1/restore/" in admin_client.get(page_of(service)).content.decode()

    assert restore(admin_client, service, 1) == "Version 1 was restored as version 3."

    assert sources(service) == [FIRST, SECOND, FIRST]
    assert service.current_script().created_by == admin_user
    entry = LogEntry.objects.get(object_id=str(service.pk))
    [message] = json.loads(entry.change_message)
    assert entry.user == admin_user
    assert message["values"] == [{"field": "script", "old": 2, "new": 3}]
    assert message["note"] == "Restored version 1 of the script."


def test_removed_script_is_restored_as_removed(admin_client, service):
    service.set_script("")
    service.set_script(FIRST)

    assert "Version 3 was restored as version 5." in restore(admin_client, service, 3, latest=4)

    assert service.current_script() is None
    assert "Script removed" in admin_client.get(page_of(service)).content.decode()


def test_restoring_the_current_text_changes_nothing(admin_client, service):
    service.set_script(FIRST)

    assert "the same as the current script" in restore(admin_client, service, 1, latest=3)

    assert sources(service) == [FIRST, SECOND, FIRST]
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("latest", [1, "", "x"])
def test_restore_is_refused_if_the_script_has_changed(admin_client, service, latest):
    assert "nothing was restored" in restore(admin_client, service, 1, latest=latest)

    assert sources(service) == [FIRST, SECOND]


def test_invalid_version_is_not_restored(admin_client, service):
    Script.objects.filter(service=service, version=1).update(
        source="def transform(records):\n    return <b>\n"
    )

    text = restore(admin_client, service, 1)

    assert text.startswith("Version 1 is invalid, and nothing was restored: The script failed in line 2: ")
    assert len(sources(service)) == 2


def test_restore_requires_permission_and_a_visible_service(viewer, admin_client, service):
    url = reverse("admin:services_service_script_restore", args=[service.pk, 1])
    hidden = make_service(script=FIRST, groups=[Group.objects.create(name="Finance")])

    assert viewer.post(url, {"latest": 2}).status_code == 403
    assert viewer.get(page_of(hidden)).status_code == 404
    hidden_url = reverse("admin:services_service_script_restore", args=[hidden.pk, 1])
    assert viewer.post(hidden_url, {"latest": 1}).status_code == 404
    assert admin_client.get(url).status_code == 405
    missing = reverse("admin:services_service_script_restore", args=[service.pk, 9])
    assert admin_client.post(missing, {"latest": 2}).status_code == 404
    assert sources(service) == [FIRST, SECOND]


def test_page_requires_permission_to_view_services(client, service):
    client.force_login(make_user(permissions=["runs.view_run"]))

    assert client.get(page_of(service)).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
def test_page_takes_the_same_number_of_queries_for_any_number_of_versions(
    viewer, count, django_assert_num_queries
):
    service = make_service(script=FIRST)
    for number in range(count):
        service.set_script(f"{FIRST}# {number}", author=make_user())
        make_run(service, script=service.current_script())
    viewer.get(page_of(service))

    with django_assert_num_queries(8):
        viewer.get(page_of(service))


def test_many_runs_and_versions_are_limited(viewer, service, monkeypatch):
    monkeypatch.setattr(script_versions, "MAX_RUN_COUNT", 1)
    monkeypatch.setattr(script_versions, "PER_PAGE", 1)
    for _number in range(3):
        make_run(service, script=service.current_script())

    text = viewer.get(page_of(service)).content.decode()

    assert "more than 1<" in text
    assert 'href="?page=2"' in text


def test_long_comparison_is_shown_on_request(viewer, service):
    service.set_script(FIRST + "".join(f"x{number} = 1\n" for number in range(10_000)))

    first = viewer.get(page_of(service)).content.decode()
    whole = viewer.get(f"{page_of(service)}?old=2&new=3&all=1").content.decode()

    assert "Only the first 2,000 lines are shown." in first
    assert 'href="?old=2&amp;new=3&amp;all=1#comparison"' in first
    assert ("x9999 = 1" in first, "x9999 = 1" in whole) == (False, True)

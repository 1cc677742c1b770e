"""Preview, Try script and Preview push on the settings page of a service."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from apps.console.settings import trial_view
from apps.runs.execution.executor import execute_run
from apps.runs.models import PayloadRead, Run
from apps.runs.tasks import start_run
from apps.services.models import Service
from tests.factories import make_connection, make_service, make_user
from tests.forms import form_data_of
from tests.services.web import Reply, serving
from tests.systems import service_between, systems

pytestmark = pytest.mark.django_db(transaction=True)

RECORDS = [{"id": number, "sku": f"<b>{number}</b>"} for number in range(1, 13)]


@pytest.fixture
def world():
    with systems(RECORDS) as served:
        yield served


def preview(client, data, step, service=None, **query):
    query |= {"step": step, "fragment": "1"} | ({"service": service.pk} if service else {})
    url = reverse("admin:services_service_preview", query=query)
    return client.post(url, data)


def test_unsaved_source_is_previewed(client, world) -> None:
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    data = form_data_of(service) | {"source_page_size": "3", "name": "", "script": "not a script"}
    html = preview(client, data, "source", service).content.decode()

    assert "3 records" in html
    assert f"GET {world.url}/orders?page=2&amp;size=3" in html
    assert "&lt;b&gt;1&lt;/b&gt;" in html
    assert "<b>1" not in html
    assert Service.objects.get().source_options["page_size"] == 10


def test_service_is_previewed_before_it_is_added(client, world) -> None:
    data = form_data_of(service_between(world))
    Service.objects.all().delete()
    client.force_login(make_user(is_superuser=True))
    html = preview(client, data, "destination").content.decode()

    assert f"POST {world.url}/stock" in html
    assert world.received == []
    assert not Service.objects.exists()


def test_service_that_was_deleted_meanwhile_is_previewed_like_a_new_one(client, world) -> None:
    service = service_between(world)
    data, number = form_data_of(service), service.pk
    service.delete()
    client.force_login(make_user(is_superuser=True))
    html = preview(client, data, "source", Service(pk=number)).content.decode()

    assert "10 records" in html


def test_page_without_javascript_has_the_result(client, world) -> None:
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    url = reverse("admin:services_service_preview", query={"step": "source", "service": service.pk})
    html = client.post(url, form_data_of(service)).content.decode()
    assert "10 records" in html
    assert "</html>" in html


def test_invalid_settings_are_named(client, world) -> None:
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    data = form_data_of(service) | {"source_records": "a[", "destination_path": "/../x"}

    html = preview(client, data, "source", service).content.decode()
    assert "“a[” is not a JMESPath expression" in html
    assert ".." not in html
    assert world.sent == {}
    html = preview(client, form_data_of(service) | {"destination_path": "/../x"}, "destination", service)
    assert "would leave the connection" in html.content.decode()


def test_error_of_the_script_has_its_line(client, world) -> None:
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    data = form_data_of(service) | {"script": "def transform(records):\r\n    return records[99]\r\n"}
    assert 'data-script-line="2"' in preview(client, data, "script", service).content.decode()


def test_every_use_is_audited_without_secrets(client, world) -> None:
    service = service_between(world)
    service.source_connection.auth = "bearer"
    service.source_connection.set_secret("very-secret")
    service.source_connection.save()
    user = make_user(is_superuser=True)
    client.force_login(user)
    html = preview(client, form_data_of(service), "destination", service).content.decode()

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (user, str(service.pk))
    assert entry.change_message == "Previewed push with unsaved settings: succeeded"
    assert "very-secret" not in html


def test_audit_entry_exists_before_the_preview_and_says_that_it_was_cancelled(
    client, world, monkeypatch
) -> None:
    def close_browser(_request):
        messages.append(LogEntry.objects.get().change_message)
        return True

    messages: list[str] = []
    monkeypatch.setattr(trial_view, "is_disconnected", close_browser)
    world.may_respond.clear()
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    preview(client, form_data_of(service), "source", service)

    assert messages[0] == "Previewed source with unsaved settings: not completed"
    assert LogEntry.objects.get().change_message == "Previewed source with unsaved settings: cancelled"


def test_only_who_may_change_the_service_may_preview_it(client, world) -> None:
    service = service_between(world)
    data = form_data_of(service)
    client.force_login(make_user(permissions=["services.view_service", "services.add_service"]))
    assert preview(client, data, "source", service).status_code == 403
    client.force_login(make_user(permissions=["services.view_service", "services.change_service"]))
    assert preview(client, data, "source", service).status_code == 200
    assert preview(client, data, "source").status_code == 403
    assert preview(client, data, "other", service).status_code == 404


def test_connection_that_is_not_visible_cannot_be_previewed(client, world) -> None:
    from django.contrib.auth.models import Group

    hidden = make_connection(url=world.url)
    service_between(world, source_connection=hidden, groups=[Group.objects.create(name="others")])
    mine = service_between(world)
    client.force_login(make_user(permissions=["services.view_service", "services.change_service"]))
    html = preview(client, form_data_of(mine) | {"source_connection": hidden.pk}, "source", mine)
    assert "Select a valid choice" in html.content.decode()


def test_foreign_run_cannot_be_the_input(client, world) -> None:
    from tests.factories import make_run

    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    data = form_data_of(service) | {"trial_input": str(make_run().pk)}
    assert "The run was not found" in preview(client, data, "script", service).content.decode()


def test_stored_payload_as_input_needs_the_permission_to_read_it_and_is_recorded(client, world) -> None:
    service = service_between(world)
    run = start_run(service, trigger=Run.Trigger.MANUAL, store=["pull"])
    execute_run(run.pk, worker="test")
    data = form_data_of(service) | {"trial_input": str(run.pk)}
    page = reverse("admin:services_service_change", args=[service.pk])

    client.force_login(make_user(permissions=["services.view_service", "services.change_service"]))
    assert preview(client, data, "script", service).status_code == 403
    assert "Stored payload of" not in client.get(page).content.decode()

    reader = make_user(is_superuser=True)
    client.force_login(reader)
    assert "Stored payload of" in client.get(page).content.decode()
    assert "Input, 10 records" in preview(client, data, "script", service).content.decode()
    assert list(PayloadRead.objects.values_list("user", "payload__name")) == [
        (reader.pk, "pull-page-00001.json")
    ]


def test_halves_of_surrogate_pairs_are_shown_escaped(client) -> None:
    with systems([{"id": 1, "name \ud800": "\udc00"}]) as odd:
        service = service_between(odd, script="def transform(records):\n    return records\n")
        client.force_login(make_user(is_superuser=True))
        html = preview(client, form_data_of(service), "source", service).content.decode()
    assert "<td>\\udc00</td>" in html


def test_record_that_is_nested_too_deeply_is_an_error(client) -> None:
    with serving(lambda request: Reply(200, b"[" * 3000 + b"]" * 3000)) as web:
        service = make_service(source_connection=make_connection(url=web.url), source_options={"path": "/"})
        client.force_login(make_user(is_superuser=True))
        html = preview(client, form_data_of(service), "source", service).content.decode()
    assert "A record is nested too deeply to be shown." in html
    assert LogEntry.objects.get().change_message.endswith(": failed")


def test_columns_and_long_texts_that_are_not_shown_are_named(client) -> None:
    record = {"id": 1, "text": "x" * 2**20} | {f"column{number}": number for number in range(200)}
    with systems([record, {"id": 2}]) as wide:
        service = service_between(wide)
        client.force_login(make_user(is_superuser=True))
        html = preview(client, form_data_of(service), "source", service).content.decode()
    assert "The first 30 of 202 columns." in html
    assert "Texts of more than 1,000 characters are shortened." in html
    assert "&quot;id&quot;: 2" in html
    assert len(html) < 30_000


def test_nothing_to_send_is_explained(client, world) -> None:
    service = service_between(world, script="def transform(records):\n    return []\n")
    client.force_login(make_user(is_superuser=True))
    html = preview(client, form_data_of(service), "destination", service).content.decode()
    assert "Nothing to send" in html
    assert "The script returned no records." in html


def test_source_without_a_page_refers_to_the_log(client) -> None:
    with serving(lambda request: Reply(204)) as web:
        service = make_service(source_connection=make_connection(url=web.url), source_options={"path": "/"})
        client.force_login(make_user(is_superuser=True))
        html = preview(client, form_data_of(service), "source", service).content.decode()
    assert "The source has no page of records; the log below says why." in html
    assert "204 No Content, the pull ends" in html


def test_long_request_says_that_only_its_beginning_is_shown(client) -> None:
    with systems([{"id": 1, "text": "x" * 50_000}]) as long:
        service = service_between(long)
        client.force_login(make_user(is_superuser=True))
        html = preview(client, form_data_of(service), "destination", service).content.decode()
    assert "Only the beginning of 48.9\xa0KB is shown." in html


def test_number_of_an_input_that_is_too_long_is_an_error(client, world) -> None:
    service = service_between(world)
    client.force_login(make_user(is_superuser=True))
    data = form_data_of(service) | {"trial_input": "1" * 5000}
    assert "The run was not found" in preview(client, data, "script", service).content.decode()

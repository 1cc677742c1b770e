"""One message per incident: which ends of runs send a message, and which do not."""

import pytest

from apps.alerts.incidents.changes import Failure, record_failure
from apps.alerts.incidents.run_events import receive_run_end
from apps.alerts.models import Delivery, Incident
from apps.runs.execution.finalization import end_run_without_spool
from apps.runs.models import Level
from tests.factories import make_channel, make_incident, make_record, make_rule, make_run, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders():
    return make_service(name="Orders")


def test_three_failures_and_a_recovery_are_two_messages(story, orders):
    make_rule(orders)

    first = story.end(orders, error="HTTP 503")
    story.end(orders)
    story.end(orders)
    assert story.subjects() == ["Orders: Run failed"]
    incident = Incident.objects.get()
    assert (incident.run, incident.further_run_count, incident.detail) == (first, 2, "HTTP 503")

    story.end(orders, "succeeded")
    story.end(orders, "succeeded")
    assert story.subjects() == ["Orders: Recovered: Run failed"]
    incident.refresh_from_db()
    assert incident.closed_at == story.now.replace(minute=4)


def test_outbox_row_is_written_in_the_transaction_that_ends_the_run(orders):
    make_rule(orders)
    run = make_run(orders, status="queued")

    end_run_without_spool(run, run.claim("worker"), "failed", Level.ERROR, "It failed")

    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Orders: Run failed"
    assert delivery.reference == f"incident {Incident.objects.get().pk}"
    assert "It failed" in delivery.text


def test_service_without_rule_has_no_incidents(story, orders):
    make_rule(make_service())

    story.end(orders)

    assert not Incident.objects.exists()


@pytest.mark.parametrize("fields", [{"status": "failed", "is_dry_run": True}, {"status": "cancelled"}])
def test_dry_and_cancelled_runs_are_no_events(story, orders, fields):
    make_rule(orders, events=["failed", "recovered", "incomplete"])

    story.end(orders, **fields, is_complete=False)

    assert not Incident.objects.exists()


def test_failures_of_several_kinds_are_incidents_of_their_own(story, orders):
    make_rule(orders, events=["failed", "lost", "incomplete", "recovered"])

    story.end(orders, "lost", is_complete=False, lost_reason="2 lines are missing")
    story.end(orders, "failed")
    assert story.subjects() == [
        "Orders: Run lost",
        "Orders: Log incomplete",
        "Orders: Run failed",
        "Orders: Recovered: Log incomplete",
    ]

    story.end(orders, "succeeded")
    assert story.subjects() == ["Orders: Recovered: Run lost", "Orders: Recovered: Run failed"]


def test_rule_that_names_only_recovered_tells_only_of_the_end(story, orders):
    make_rule(orders, events=["recovered"])

    story.end(orders)
    assert story.subjects() == []

    story.end(orders, "succeeded")
    assert story.subjects() == ["Orders: Recovered: Run failed"]


def test_each_rule_has_its_own_limit_of_refused_records(story, orders):
    few, many = make_channel(name="few", to=["few@example.com"]), make_channel(name="many")
    make_rule(orders, events=["refused", "recovered"], refused_limit=2, channels=[few])
    make_rule(orders, events=["refused", "recovered"], refused_limit=10, channels=[many])

    sent = []
    for refused_count in (2, 3, 11, 12, 0):
        story.end(orders, "succeeded", refused_count=refused_count)
        sent.append(list(Delivery.objects.order_by("pk").values_list("channel_name", flat=True)))
        story.subjects()

    assert sent == [[], ["few"], ["many"], [], ["few", "many"]]


def test_channel_of_two_rules_is_notified_once(story, orders):
    channel = make_channel()
    make_rule(orders, channels=[channel])
    make_rule(channels=[channel])

    story.end(orders)
    story.end(orders, "succeeded")

    assert story.subjects() == ["Orders: Run failed", "Orders: Recovered: Run failed"]


def test_more_than_three_changes_within_an_hour_are_one_message(story, orders):
    make_rule(orders)
    for status in ("failed", "succeeded", "failed"):
        story.end(orders, status)
    story.subjects()

    for status in ("succeeded", "failed", "succeeded", "failed"):
        story.end(orders, status)
    assert story.subjects() == ["Orders: Unstable: Run failed"]

    story.wait(minutes=59)
    assert story.subjects() == []
    story.wait(minutes=1)
    assert story.subjects() == ["Orders: Still open after many changes: Run failed"]

    story.end(orders, "succeeded")
    assert story.subjects() == ["Orders: Recovered: Run failed"]


def test_unstable_incident_closes_after_an_hour_of_success(story, orders):
    make_rule(orders)
    for status in ("failed", "succeeded", "failed", "succeeded"):
        story.end(orders, status)
    story.subjects()

    story.end(orders, "succeeded")
    story.wait(hours=1)
    story.wait(hours=1)

    assert story.subjects() == ["Orders: Recovered: Run failed"]
    assert not Incident.objects.open().exists()


def test_message_has_counts_and_record_keys_only_if_the_rule_wants_them(story, orders):
    with_keys, without = make_channel(name="a-keys"), make_channel(name="b-none")
    make_rule(orders, events=["failed"], include_record_keys=True, channels=[with_keys])
    make_rule(orders, events=["failed"], channels=[without])
    run = make_run(
        orders,
        status="failed",
        error='Order 10045 of "Jane Doe" was refused',
        pulled_count=1200,
        pushed_count=1188,
        refused_count=12,
    )
    for number in range(12):
        make_record(run, key=f"K{number:02}", outcome=1, sequence=number, message="the content of a record")

    receive_run_end(run_id=run.pk)

    texts = dict(Delivery.objects.values_list("channel_name", "text"))
    assert 'Order 10045 of "…" was refused' in texts["a-keys"]
    assert 'Order … of "…" was refused' in texts["b-none"]
    assert "Pulled: 1200" in texts["a-keys"]
    assert "Refused records: K00, K01, K02, K03, K04, K05, K06, K07, K08, K09, …" in texts["a-keys"]
    assert "Refused: 12" in texts["b-none"]
    assert "K00" not in texts["b-none"]
    assert "the content of a record" not in "".join(texts.values())


def test_message_links_to_the_run_in_the_language_of_the_channel(story, orders, settings):
    settings.BASE_URL = "https://synclog.example"
    make_rule(orders, channels=[make_channel(language="de")], timezone="Europe/Berlin")

    run = story.end(orders)

    delivery = Delivery.objects.get()
    assert delivery.subject == "[Synclog] Orders: Lauf fehlgeschlagen"
    assert f"https://synclog.example/admin/runs/run/{run.pk}/log/" in delivery.text


def test_end_of_a_run_costs_few_queries(story, orders, django_assert_num_queries):
    run = make_run(orders, status="succeeded")

    # The run, the rules, the open incidents.
    with django_assert_num_queries(3):
        receive_run_end(run_id=run.pk)


def test_failure_costs_few_queries(story, orders, django_assert_num_queries):
    channels = [make_channel(), make_channel()]
    make_rule(channels=channels)
    run = make_run(orders, status="failed")

    # The run, the rules, their channels, the open incidents; a new one in a savepoint, earlier ones; the busy channels,
    # the maintenance, two messages, their notices.
    with django_assert_num_queries(13):
        receive_run_end(run_id=run.pk)
    # The run, the rules, their channels, the open incidents, the further run, the notices.
    with django_assert_num_queries(6):
        receive_run_end(run_id=run.pk)


def test_failure_after_the_known_incident_was_closed_opens_another_one(story, orders):
    rule = make_rule(orders)
    known = make_incident(orders)
    Incident.objects.get().close(story.now)

    incident = record_failure(Failure(Incident.Kind.FAILED, orders.pk), [rule], story.now, known)

    assert incident != known
    assert incident.is_open
    assert story.subjects() == ["Orders: Run failed"]


def test_failure_joins_the_incident_that_another_run_opened(story, orders):
    rule = make_rule(orders)
    failure = Failure(Incident.Kind.FAILED, orders.pk, run=make_run(orders))

    incidents = [record_failure(failure, [rule], story.now) for _run in range(2)]

    assert incidents[0] == incidents[1]
    assert Incident.objects.get().further_run_count == 1
    assert story.subjects() == ["Orders: Run failed"]

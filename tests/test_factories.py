"""Factory functions of the tests."""

import pytest
from django.core.files.storage import storages

from apps.api.models import ApiToken
from apps.runs.log.reading import all_lines
from apps.runs.models import Payload, Run
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", Run.Status.values)
def test_make_run_satisfies_the_constraints_in_every_status(status):
    run = factories.make_run(status=status)

    assert Run.objects.get(pk=run.pk).is_open == (status in {"queued", "running"})


def test_make_log_entries_continues_after_existing_lines():
    run = factories.make_run()

    factories.make_log_entries(run, 2)
    factories.make_log_entries(run, ["Third"])

    assert [(line.sequence, line.message) for line in all_lines(run)] == [
        (1, "Line 1"),
        (2, "Line 2"),
        (3, "Third"),
    ]
    assert Run.objects.get(pk=run.pk).line_count == 3


def test_make_payload_stores_the_object():
    payload = factories.make_payload(body=b"abc")

    with storages["payloads"].open(payload.key) as file:
        assert file.read() == b"abc"
    assert Payload.objects.with_state().get().state == "stored"


def test_make_payload_stores_the_object_in_a_bucket(s3_server, s3_payloads):
    payload = factories.make_payload(body=b"abc")

    stored = s3_server.client().get_object(Bucket=s3_payloads, Key=payload.key)["Body"].read()
    assert stored == b"abc"


def test_make_token_is_usable():
    token, secret = factories.make_token()

    assert ApiToken.objects.usable().get() == token
    assert secret.startswith("synclog_")

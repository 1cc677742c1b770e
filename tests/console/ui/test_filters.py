"""Filters of change lists: unknown values in the URL."""

import pytest
from django.test import Client

from tests.factories import make_incident, make_run, make_user

pytestmark = pytest.mark.django_db
SERVICES = "/admin/services/service/"
RUNS = "/admin/runs/run/"
INCIDENTS = "/admin/alerts/incident/"


@pytest.mark.parametrize(
    ("url", "query", "message"),
    [
        (SERVICES, {"last_run": "odd"}, "Unknown last run “odd”. Choose one of: queued, running,"),
        (SERVICES, {"active": "odd"}, "Unknown schedule “odd”. Choose one of: yes, no."),
        (SERVICES, {"connection": "odd"}, "Connection “odd” not found."),
        (RUNS, {"period": "9y"}, "Unknown period “9y”. Choose one of: 1h, 24h, 7d, 30d, any."),
        (RUNS, {"held": "odd"}, "Unknown hold “odd”. Choose one of: yes."),
        (INCIDENTS, {"state": "odd"}, "Unknown status “odd”. Choose one of: open, closed."),
    ],
)
def test_unknown_value_has_a_message_and_no_rows(
    client: Client, url: str, query: dict[str, str], message: str
) -> None:
    make_incident(make_run().service)
    client.force_login(make_user(is_superuser=True))
    assert list(client.get(url).context["cl"].result_list)

    response = client.get(url, query)

    assert list(response.context["cl"].result_list) == []
    assert message in response.content.decode()


def test_filter_that_django_refuses_has_a_message(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))

    response = client.get("/admin/alerts/rule/", {"is_active__exact": "odd"}, follow=True)

    assert "A filter in the address was invalid, so all rows are shown." in response.content.decode()

"""Cancellation of trials: only by the user who started them."""

import pytest
from django.urls import reverse

from apps.console.settings.cancellation import is_cancelled
from tests.factories import make_user

pytestmark = pytest.mark.django_db

URL = reverse("admin:cancel_trial")
TRIAL = "0123456789abcdef" * 2


def test_user_cancels_the_own_trial(client):
    user, other = make_user(), make_user()
    client.force_login(user)
    assert is_cancelled(user, TRIAL) is False

    response = client.post(URL, {"trial_id": TRIAL})

    assert response.status_code == 204
    assert is_cancelled(user, TRIAL) is True
    assert is_cancelled(user, TRIAL[::-1]) is False
    assert is_cancelled(other, TRIAL) is False


@pytest.mark.parametrize("trial_id", ["", "x" * 32, "0" * 33])
def test_invalid_id_is_refused(client, trial_id):
    user = make_user()
    client.force_login(user)

    assert client.post(URL, {"trial_id": trial_id}).status_code == 400
    assert is_cancelled(user, trial_id) is False


def test_cancellation_needs_a_login_and_a_post(client):
    assert client.post(URL, {"trial_id": TRIAL}).status_code == 302

    client.force_login(make_user())
    assert client.get(URL).status_code == 405

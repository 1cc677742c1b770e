"""Schemathesis against every route of the OpenAPI description, single requests and sequences."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from django.utils import timezone

from tests.factories import make_log_entries, make_payload, make_run, make_service, make_token, make_user

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.stack
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_every_response_is_documented_and_none_is_5xx(live_server, settings, tmp_path):
    settings.API_TOKEN_RATE = settings.API_ADDRESS_RATE = settings.API_FAILURE_RATE = 0
    user = make_user(is_superuser=True)
    run = make_run(make_service(slug="orders"), store_pull=True)
    make_log_entries(run, 5)
    make_payload(run, sequence=2)
    elsewhere = make_service(
        slug="nightly", kind="reported", source_connection=None, destination_connection=None
    )
    lease_until = timezone.now() + timedelta(hours=1)
    make_run(elsewhere, status="running", started_by=user, worker="reporter a", lease_until=lease_until)
    _token, secret = make_token(user)

    process = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "--no-color", "--config-file", str(CONFIGURATION)),
            *(
                "run",
                f"{live_server.url}/api/schema/?format=json",
                "--header",
                f"Authorization: Bearer {secret}",
            ),
            *("--max-examples", "1", "--generation-deterministic"),
            *("--continue-on-failure", "--no-shrink"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=390,
    )

    assert process.returncode == 0, process.stdout[-20_000:] + process.stderr
    schema = requests.get(f"{live_server.url}/api/schema/?format=json", timeout=60).json()
    operations = [method for path in schema["paths"].values() for method in path]
    assert f"Tested: {len(operations)}" in process.stdout

"""What the composition must do: execute runs without a loss, serve pages, and confine its containers."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

import requests

from tests.containers.composition import Composition
from tests.stack import wait_until

# Runs of this service take about 20 s, which is less than the grace period of a worker.
STEADY_RECORDS, STEADY_PACE_MS = 80, 250
RUN_ENDS_WITHIN = 180
SYSTEMS = "http://systems:8080"


def services() -> str:
    """Returns the services as input of `load_services`; JSON is valid YAML."""

    def service(count: int, milliseconds: int) -> dict[str, Any]:
        paging = {"type": "page", "page_param": "page", "first": 1}
        return {
            "source": {"connection": "systems", "path": f"/orders/{count}", "pagination": paging},
            "script": "def transform(records):\n    log('got %d' % len(records))\n    return records\n",
            "destination": {
                "connection": "systems",
                "method": "POST",
                "path": f"/stock/{milliseconds}",
                "batch_size": 1,
            },
            "overlap": "allow",
        }

    return json.dumps(
        {
            "connections": {"systems": {"kind": "http", "base_url": SYSTEMS}},
            "services": {"quick": service(25, 0), "steady": service(STEADY_RECORDS, STEADY_PACE_MS)},
        }
    )


def prepare(composition: Composition) -> None:
    """Creates a superuser with a token, and loads the services from YAML."""
    password = secrets.token_urlsafe(16)
    arguments = ("createsuperuser", "--no-input", "--username=ada", "--email=ada@example.com")
    composition.manage(*arguments, DJANGO_SUPERUSER_PASSWORD=password)
    composition.token = composition.manage("create_token", "ada", "--name", "story")
    composition.manage("load_services", "/dev/stdin", stdin=services())


def start_run(composition: Composition, service: str) -> int:
    """Starts a run that stores every payload, and returns its number."""
    response = composition.post(f"services/{service}/runs/", {"store": ["pull", "script", "push"]})
    assert response.status_code == 202, response.text
    return int(response.json()["id"])


@dataclass(frozen=True)
class PushingRun:
    """A run of the service `steady` that has pushed its first record."""

    composition: Composition
    number: int
    received_before: int

    @classmethod
    def start(cls, composition: Composition) -> "PushingRun":
        before = len(received(composition))
        number = start_run(composition, "steady")
        wait_until(lambda: len(received(composition)) > before, lambda: composition.log("worker"))
        return cls(composition, number, before)

    def check(self) -> str:
        """Checks that the run succeeds and that nothing is lost; returns its duration."""
        run = check_run(self.composition, self.number, STEADY_RECORDS)
        numbers = received(self.composition)[self.received_before :]
        assert set(numbers) == set(range(STEADY_RECORDS)), "records are missing at the destination"
        assert len(numbers) == STEADY_RECORDS, f"{len(numbers) - STEADY_RECORDS} records were pushed twice"
        return f"run {self.number}: {run['status']}, {run['line_count']} lines"


def received(composition: Composition) -> list[int]:
    """Numbers of the records that the destination has received."""
    code = f"import urllib.request as u; print(u.urlopen('{SYSTEMS}/received').read().decode())"
    return list(json.loads(composition.run_in("systems", "python", "-c", code)))


def check_run(composition: Composition, number: int, record_count: int) -> dict[str, Any]:
    """Waits until the run has ended; checks its counts, log and payloads; returns it."""

    def ended() -> dict[str, Any] | None:
        # A restarting server refuses connections; without a database the response is an error.
        try:
            run = composition.get(f"runs/{number}/").json()
        except requests.RequestException:
            return None
        return dict(run) if run.get("is_complete") else None

    run = wait_until(ended, lambda: composition.log("worker"), RUN_ENDS_WITHIN)
    outcome = {name: run[name] for name in ("status", "pulled_count", "pushed_count", "lost_line_count")}
    assert outcome == {
        "status": "succeeded",
        "pulled_count": record_count,
        "pushed_count": record_count,
        "lost_line_count": 0,
    }, f"{outcome} {run['error']}\n{composition.get(f'runs/{number}/log.txt').text[-3000:]}"
    lines = composition.get(f"runs/{number}/log/", limit=5000).json()["lines"]
    assert [line["sequence"] for line in lines] == list(range(1, run["line_count"] + 1))
    payloads = [payload for line in lines for payload in line["payloads"]]
    pulled = [payload for payload in payloads if payload["kind"] == "pull"]
    for payload in (pulled[0], payloads[-1]):
        content = composition.get(payload["download_url"]).content
        assert hashlib.sha256(content).hexdigest() == payload["sha256"]
    first = json.loads(composition.get(pulled[0]["download_url"]).content)
    assert [record["id"] for record in first] == list(range(10))
    return run


def check_pages(composition: Composition) -> None:
    """Checks that the login page and its style sheet, which is in the image, are served."""
    page = requests.get(f"{composition.url}/admin/login/", timeout=30)
    assert page.status_code == 200
    sheet = page.text.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    assert requests.get(composition.url + sheet, timeout=30).status_code == 200, sheet
    assert requests.get(f"{composition.url}/readyz", timeout=30).status_code == 200


def check_confinement(composition: Composition) -> None:
    """Checks the limits of each container, and that its root file system cannot be written."""
    for service in set(composition.services()) - {"systems"}:
        found = composition.inspect(service)
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert 0 < host["Memory"] <= 2 * 1024**3, service
        assert composition.run_in(service, "id", "-u") != "0", service
        variables = "\n".join(found["Config"]["Env"])
        assert not [name for name in ("PASSWORD=", "SECRET_ACCESS_KEY=", "SECRET_KEY=") if name in variables]
        code = "touch /probe 2>/dev/null && echo written || echo refused"
        assert composition.run_in(service, "sh", "-c", code) == "refused", service


def check_memory(composition: Composition) -> str:
    """Measures each service at rest and during five runs; fails above three quarters of a limit."""
    names = sorted(set(composition.services()) - {"systems"})
    rest = {name: composition.memory_mib(name) for name in names}
    runs = [PushingRun.start(composition).number] + [start_run(composition, "steady") for _run in range(4)]
    load = {name: composition.memory_mib(name) for name in names}
    for run in runs:
        check_run(composition, run, STEADY_RECORDS)
    limits = {name: composition.inspect(name)["HostConfig"]["Memory"] / 1024**2 for name in names}
    assert not [name for name in names if load[name] > limits[name] * 0.75], f"{load} of {limits} MiB"
    return ", ".join(f"{name} {rest[name]:.0f}/{load[name]:.0f}/{limits[name]:.0f} MiB" for name in names)

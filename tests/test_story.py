"""End-to-end test, from the services list to the deleted payloads, in the embedded mode and on the real stack."""

import hashlib
import re
import secrets
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import PostgresServer, S3Server, broker_server
from tests.stack import Stack, wait_until
from tests.systems import Systems, systems

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

ORDERS: list[dict[str, object]] = [{"id": 10_000 + number, "quantity": number} for number in range(1, 26)]
SERVICES = """
    connections:
      shop:      {kind: http, base_url: "%(url)s", auth: {type: bearer, secret_env: SHOP_TOKEN}}
      warehouse: {kind: http, base_url: "%(url)s"}
    services:
      orders-to-warehouse:
        name: Orders to warehouse
        source:
          {connection: shop, path: /orders, records: "@", page_size: 10,
           pagination: {type: page, page_param: page, size_param: size, first: 1}}
        script: |
          def transform(records):
              log("got %%d" %% len(records))
              return [{"sku": r["id"], "qty": r["quantity"]} for r in records]
        destination: {connection: warehouse, method: POST, path: /stock, batch_size: 5, id_field: sku}
        schedule: "0 3 * * *"
        timezone: Europe/London
"""
ENVIRONMENT = {"SHOP_TOKEN": "shop-secret-4711", "SYNCLOG_EXPIRY_INTERVAL_SECONDS": "2"}


class StackWithPages(Stack):
    """A stack whose pages work, because their static files are collected."""

    def __init__(self, environment: Mapping[str, str], static: Path) -> None:
        super().__init__(environment)
        # Collected static files of an earlier stack, or a folder that does not exist yet.
        self._static = static

    def prepare(self) -> None:
        super().prepare()
        target = self.folder / "data" / "static"
        if self._static.exists():
            shutil.copytree(self._static, target, dirs_exist_ok=True)
        else:
            self.manage("collectstatic", "--no-input", "--verbosity=0")
            shutil.copytree(target, self._static)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static") / "collected"


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, static: Path
) -> Iterator[tuple[Stack, Systems]]:
    """Synclog and its external systems: with SQLite and folders, or with PostgreSQL, a broker and S3."""
    with ExitStack() as servers:
        environment = dict(ENVIRONMENT)
        if request.param == "real":
            for server in (PostgresServer(), broker_server()):
                environment |= servers.enter_context(server).env
            s3 = servers.enter_context(S3Server())
            environment |= s3.env | {"AWS_STORAGE_BUCKET_NAME": s3.create_bucket()}
        external = servers.enter_context(systems(ORDERS))
        stack = servers.enter_context(StackWithPages(environment, static))
        services = tmp_path_factory.mktemp("services") / "services.yaml"
        services.write_text(textwrap.dedent(SERVICES % {"url": external.url}))
        stack.manage("load_services", str(services))
        yield stack, external


class Staff:
    """A staff user with a session who opens pages and sends forms."""

    def __init__(self, stack: Stack, username: str) -> None:
        self._session = requests.Session()
        self._stack = stack
        password = secrets.token_urlsafe(16)
        stack.create_staff(username, password=password)
        self.open("/admin/login/")
        self.post("/admin/login/", username=username, password=password, next="/admin/")

    def open(self, path: str) -> str:
        return self.get(path).text

    def get(self, path: str) -> requests.Response:
        response = self._session.get(self._url(path), timeout=60)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        return response

    def post(self, path: str, **fields: str) -> requests.Response:
        url = self._url(path)
        fields["csrfmiddlewaretoken"] = self._session.cookies["csrftoken"]
        response = self._session.post(url, data=fields, headers={"Referer": url}, timeout=60)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        return response

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else self._stack.url + path


class Links(HTMLParser):
    """Parses the links of a page by their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._href: str | None = None
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._href, self._text = dict(attributes).get("href"), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href:
            self.found.setdefault(self._text.strip(), self._href)


def link(page: str, label: str) -> str:
    """Returns the URL of the first link with this label."""
    links = Links(page).found
    assert label in links, f"no link {label!r} among {sorted(links)}"
    return links[label]


def switch(page: str, label: str) -> tuple[str, bool]:
    """Returns the name of the checkbox with this label, and whether it is on."""
    labelled = re.search(rf'<label[^>]*for="([^"]+)"[^>]*>(?:\s|<[^>]+>)*{label}', page)
    assert labelled, f"no label {label!r}"
    control = re.search(rf'<input[^>]*id="{labelled.group(1)}"[^>]*>', page)
    assert control
    assert 'type="checkbox"' in control.group()
    name = re.search(r'name="([^"]+)"', control.group())
    assert name
    return name.group(1), "checked" in control.group()


def hidden_fields(page: str) -> dict[str, str]:
    """Returns the hidden fields of the form that resyncs records."""
    return dict(re.findall(r'<input type="hidden" name="(record|run|key)" value="([^"]*)">', page))


def run_number(response: requests.Response) -> str:
    """Returns the number of the run to whose log the response belongs."""
    found = re.search(r"/admin/runs/run/(\d+)/", response.url)
    assert found, response.url
    return found.group(1)


def read_log(stack: Stack, token: str, run_id: str) -> list[dict[str, Any]]:
    """Reads all lines of the run page by page until it has ended."""
    lines: list[dict[str, Any]] = []

    def ended() -> bool:
        after = lines[-1]["sequence"] if lines else 0
        page = stack.get(f"runs/{run_id}/log/", token, params={"after": after, "limit": 7}).json()
        lines.extend(page["lines"])
        return bool(page["is_complete"] and page["poll_after"] is None and not page["lines"])

    wait_until(ended, stack.output_tail)
    return lines


@pytest.mark.parametrize("world", ["embedded", "real"], indirect=True, scope="module")
def test_manual_run_from_start_to_payload_expiry(world: tuple[Stack, Systems]) -> None:
    stack, external = world
    ada = Staff(stack, "ada")

    # The list shows every service with a menu.
    services = ada.open("/admin/services/service/")
    assert "Orders to warehouse" in services
    summary_path = link(services, "View logs")
    run_path = link(services, "Run service")
    listed = ada.open(summary_path).count("More details")

    # Ada starts a manual run and turns on two of three switches, which are off by default.
    form = ada.open(run_path)
    labels = ("Store pull payloads", "Store push payloads", "Store custom script payloads")
    switches = {label: switch(form, label) for label in labels}
    assert [is_on for _name, is_on in switches.values()] == [False, False, False]
    external.received.clear()
    external.may_respond.clear()
    log_response = ada.post(run_path, **{switches[label][0]: "on" for label in labels[:2]})

    # She is redirected to the live log of the run.
    number = run_number(log_response)
    assert "Auto-refresh is on" in log_response.text
    token = stack.create_token("ada")
    wait_until(lambda: stack.get(f"runs/{number}/", token).json()["status"] == "running", stack.output_tail)
    external.may_respond.set()

    # The log has no gaps, and each payload link is at its line.
    lines = read_log(stack, token, number)
    run = stack.get(f"runs/{number}/", token).json()
    assert [line["sequence"] for line in lines] == list(range(1, run["line_count"] + 1))
    assert (run["status"], run["pulled_count"], run["pushed_count"], run["error_count"]) == (
        "succeeded",
        25,
        25,
        0,
    )
    assert (run["trigger"], run["started_by"], run["is_complete"]) == ("manual", "ada", True)
    payload_kinds = {"Pulled": ["pull"], "POST": ["push", "push"]}
    for line in lines:
        kinds = [payload["kind"] for payload in line["payloads"]]
        expected = [] if line["level"] == "debug" else payload_kinds.get(line["message"].split()[0], [])
        assert kinds == expected, line
    assert "shop-secret-4711" not in stack.get(f"runs/{number}/log.txt", token).text

    # Downloaded payloads equal what the source sent and the destination received.
    pulled = [payload for line in lines for payload in line["payloads"] if payload["kind"] == "pull"]
    fetched = [stack.get(payload["download_url"], token) for payload in pulled]
    assert [response.status_code for response in fetched] == [200, 200, 200]
    assert [response.content for response in fetched] == [external.sent[page] for page in (1, 2, 3)]
    assert [payload["sha256"] for payload in pulled] == [
        hashlib.sha256(external.sent[page]).hexdigest() for page in (1, 2, 3)
    ]
    pushed = [
        payload for line in lines for payload in line["payloads"] if payload["name"].find("request") > 0
    ]
    assert [stack.get(payload["download_url"], token).content for payload in pushed] == external.received

    # Payloads require a token with the scope and the permission.
    download = pulled[0]["download_url"]
    stack.create_staff("bob", is_superuser=False)
    assert stack.get(download).status_code == 401
    assert stack.get(download, "synclog_nonsense").status_code == 401
    assert stack.get(download, stack.create_token("ada", "--scope", "run:read")).status_code == 403
    assert stack.get(download, stack.create_token("bob")).status_code == 404

    # The log page shows the payload links and curl commands; the summary shows the run.
    log_page = ada.open(log_response.url)
    assert pulled[0]["name"] in log_page
    assert "curl" in log_page
    assert re.search(rf"\b{number}\b", ada.open(summary_path))
    assert link(ada.open(summary_path), "More details")
    assert ada.open(summary_path).count("More details") == listed + 1

    # 24 hours after the end of the run payloads cannot be read, and are deleted from the store soon after.
    before = stack.get("payloads/", token, params={"run": number}).json()["results"]
    assert {payload["status"] for payload in before} == {"stored"}
    stack.shell(
        "from datetime import timedelta; from django.db.models import F; from apps.runs.models import Payload; "
        f"Payload.objects.filter(run={number}).update(expires_at=F('expires_at') - timedelta(hours=24, seconds=1))"
    )
    assert stack.get(download, token).status_code == 410

    def deleted() -> bool:
        payloads = stack.get("payloads/", token, params={"run": number}).json()["results"]
        return {payload["status"] for payload in payloads} == {"deleted"}

    wait_until(deleted, stack.output_tail)
    left = stack.shell(
        "from django.core.files.storage import storages; from apps.runs.models import Payload; "
        f"print(sum(storages['payloads'].exists(p.key) for p in Payload.objects.filter(run={number})))"
    )
    assert left == "0"
    assert stack.get(download, token).status_code == 410
    expired_page = ada.open(log_response.url)
    assert pulled[0]["sha256"][:8] in expired_page, "the line still shows size and digest"

    # A run that started more than 24 hours ago is not on the list.
    stack.shell(
        "from datetime import timedelta; from django.utils import timezone; from apps.runs.models import Run; "
        f"Run.objects.filter(pk={number}).update(started_at=timezone.now() - timedelta(hours=24, seconds=1))"
    )
    assert ada.open(summary_path).count("More details") == listed

    # No process failed to write its own log.
    assert "Logging error" not in "".join(path.read_text() for path in stack.folder.glob("*.log"))


@pytest.mark.parametrize("world", ["embedded", "real"], indirect=True, scope="module")
def test_refused_record_is_found_sent_again_and_resolved(world: tuple[Stack, Systems]) -> None:
    stack, external = world
    eve = Staff(stack, "eve")
    token = stack.create_token("eve")

    # The destination refuses a batch, and with it order 10013.
    external.refused = [b'"sku": 10013']
    run_path = link(eve.open("/admin/services/service/"), "Run service")
    name, _is_on = switch(eve.open(run_path), "Store pull payloads")
    first = run_number(eve.post(run_path, **{name: "on"}))
    read_log(stack, token, first)
    run = stack.get(f"runs/{first}/", token).json()
    assert (run["status"], run["pushed_count"], run["refused_count"]) == ("succeeded", 20, 5)

    # Eve searches for the order and reads what became of it.
    history = eve.get("/admin/search/?q=10013")
    assert "/admin/records/?key=10013" in history.url
    assert "unknown sku" in history.text
    payload = link(history.text, "pull-page-00002.json")
    assert "10013" in eve.open(payload)

    # She sends it again, only this record and the same bytes.
    external.refused = []
    external.received.clear()
    resync_page = eve.open(link(history.text, "Resync"))
    resync = run_number(
        eve.post("/admin/records/resync/", **hidden_fields(resync_page), origin="stored", confirm="1")
    )
    read_log(stack, token, resync)
    assert external.received == [b'[{"sku": 10013, "qty": 13}]']

    # The history of the order shows that it is resolved.
    text = re.sub(r"<[^>]+>", "", eve.open(history.url))
    assert f"resolved by run {resync}" in " ".join(text.split()).lower()
    [pushed, refused] = stack.get(
        "records/", token, params={"key": "10013", "service": run["service"]}
    ).json()["results"][:2]
    assert (pushed["run"], pushed["outcome"]) == (int(resync), "pushed")
    assert (refused["run"], refused["outcome"], refused["resolved_by"]) == (
        int(first),
        "refused",
        int(resync),
    )


@pytest.mark.parametrize("world", ["real"], indirect=True, scope="module")
def test_api_and_schedule_start_runs(world: tuple[Stack, Systems]) -> None:
    stack, _external = world
    stack.create_staff("carol")
    token = stack.create_token("carol")

    started = requests.post(
        f"{stack.url}/api/v1/services/orders-to-warehouse/runs/",
        json={"store": ["script"], "options": {"page_size": 25}},
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "once"},
        timeout=60,
    )
    assert started.status_code == 202
    lines = read_log(stack, token, started.json()["id"])
    assert {payload["kind"] for line in lines for payload in line["payloads"]} == {"script"}

    stack.shell(
        "from datetime import timedelta; from django.utils import timezone; "
        "from apps.services.models import Service; "
        "Service.objects.update(next_run_at=timezone.now() - timedelta(minutes=1))"
    )

    def scheduled() -> bool:
        runs = stack.get("runs/", token, params={"trigger": "schedule", "status": "succeeded"}).json()
        return len(runs["results"]) == 1

    wait_until(scheduled, stack.output_tail)

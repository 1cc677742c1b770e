"""Uploads of large files from a reporter through gunicorn into the payload store."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from apps.reporter import report
from tests.memory import children_of, peak_mib
from tests.servers import S3Server
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

MIB = 1024 * 1024
MAX_MIB = 44
LARGE_MIB = 40
MAX_GROWTH_MIB = 20


class WebStack(Stack):
    """Only the web process."""

    def commands(self) -> dict[str, tuple[str, ...]]:
        return {"web": super().commands()["web"]}


@pytest.fixture(scope="module", params=["files", "S3"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with ExitStack() as servers:
        environment = {"SYNCLOG_MAX_PAYLOAD_MIB": str(MAX_MIB)}
        if request.param == "S3":
            s3 = servers.enter_context(S3Server())
            environment |= s3.env | {"AWS_STORAGE_BUCKET_NAME": s3.create_bucket()}
        stack = servers.enter_context(WebStack(environment))
        services = stack.folder / "services.yaml"
        services.write_text("services: {nightly: {kind: reported, name: Nightly}}")
        stack.manage("load_services", str(services))
        stack.create_staff("reporter")
        yield stack


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    return stack.create_token("reporter", "--scope", "run:report", "run:read", "payload:read")


@pytest.fixture
def run(stack: Stack, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(
        f"{stack.url}/api/v1/services/nightly/runs/", json={}, headers=headers, timeout=30
    )
    number: int = response.json()["id"]
    return number


def blocks(count: int) -> Iterator[bytes]:
    """Blocks of a MiB, half of them text and half noise, which cannot be compressed."""
    for number in range(count):
        text = b"%d " % number
        yield (text * MIB)[:MIB] if number % 2 else hashlib.shake_256(text).digest(MIB)


def put(stack: Stack, token: str, run: int, name: str, body: Any) -> requests.Response:
    return requests.put(
        f"{stack.url}/api/v1/runs/{run}/payloads/pull/{name}",
        data=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
    )


def test_large_payload_takes_constant_memory(stack, token, run):
    digest = hashlib.sha256()
    for block in blocks(LARGE_MIB):
        digest.update(block)
    [worker] = children_of(stack.process("web").pid)
    warm_up = put(stack, token, run, "smaller", blocks(16)).json()
    stack.get(warm_up["download_url"], token)

    with peak_mib(worker) as peak:
        before = peak[0]
        response = put(stack, token, run, "large", blocks(LARGE_MIB))
        payload = response.json()
        with stack.get(payload["download_url"], token, stream=True) as download:
            returned = hashlib.sha256()
            for block in download.iter_content(MIB):
                returned.update(block)

    assert response.status_code == 201
    assert (payload["size"], payload["sha256"]) == (LARGE_MIB * MIB, digest.hexdigest())
    assert returned.hexdigest() == digest.hexdigest()
    assert peak[0] - before <= MAX_GROWTH_MIB


def test_too_large_payload_is_413_and_not_stored(stack, token, run):
    declared = put(stack, token, run, "declared", b"x" * (MAX_MIB * MIB + 1))
    in_chunks = put(stack, token, run, "in chunks", blocks(MAX_MIB + 1))

    payloads = stack.get("payloads/", token, params={"run": run}).json()["results"]
    assert [response.status_code for response in (declared, in_chunks)] == [413, 413]
    assert declared.json()["type"] == "urn:problem-type:synclog:payload-too-large"
    assert in_chunks.json() == declared.json()
    assert [payload["status"] for payload in payloads] == ["lost"]


def test_reporter_skips_too_large_payload(stack, token, tmp_path, caplog):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((MAX_MIB + 1) * MIB)

    with (
        caplog.at_level(logging.WARNING),
        report("nightly", url=stack.url, token=token, spool=tmp_path / "spool", patience=60) as run,
    ):
        run.log.info("before")
        run.payload("pull", large)
        run.payload("pull", b"small", name="small")

    [reported, *_others] = stack.get("runs/", token).json()["results"]
    payloads = stack.get("payloads/", token, params={"run": reported["id"]}).json()["results"]
    assert (reported["status"], reported["line_count"]) == ("succeeded", 1)
    assert [payload["name"] for payload in payloads] == ["small"]
    assert "The file 'large' is not stored: 413" in caplog.text
    assert list((tmp_path / "spool").iterdir()) == []

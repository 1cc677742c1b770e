"""Invalid and extreme sources in a preview: a helpful message, in time, with constant memory."""

import zlib
from collections.abc import Iterator

import pytest

from apps.runs.models import Step
from apps.runs.trial.trial import try_service
from tests.factories import make_connection, make_service
from tests.services.web import Reply, reply_json, serving
from tests.unresponsive_servers import slow_server, unreachable_server

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 2**20


def gigabytes() -> Iterator[bytes]:
    for _block in range(3 * 1024 * 16):
        yield b" " * 65536


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b"0" * MIB) for _ in range(100)), packer.flush()])


def preview_of(url, options=None, **connection):
    service = make_service(
        source_connection=make_connection(url=url, **connection),
        source_options={"path": "/orders", **(options or {})},
    )
    return try_service(service, "", Step.PULL)


NEXT = {"records": "data", "pagination": {"type": "next_url", "next_url": "next"}}


@pytest.mark.parametrize(
    ("reply", "options", "reason"),
    [
        (lambda: Reply(200, gigabytes(), {"Connection": "close"}), {}, "larger than 2 MiB"),
        (lambda: Reply(200, gigabytes(), {"Content-Length": str(3 * 1024 * MIB)}), {}, "larger than 2 MiB"),
        (lambda: Reply(200, bomb(), {"Content-Encoding": "gzip"}), {}, "larger than 2 MiB"),
        (lambda: reply_json([1], X_Padding="x" * MIB), {}, "header"),
        (lambda: Reply(200, b"<html>Login</html>", {"Content-Type": "text/html"}), {}, "is not JSON"),
        (lambda: Reply(200, b"", {}), {}, "the response is empty"),
        (lambda: Reply(401, b"who are you", {}), {}, "401 Unauthorized: who are you"),
        (lambda: Reply(500, b"oops", {}), {}, "500 Internal Server Error: oops"),
        (lambda: reply_json({"a": 1}), {"records": "data.items"}, "“data.items”"),
        (
            lambda: reply_json({"success": False}),
            {"fail_if": "success == `false`"},
            "the response is an error",
        ),
        (lambda: reply_json({"data": [1], "next": 7}), NEXT, "the URL of the next page is not text"),
        (lambda: reply_json({"data": [1], "next": "/" + "x" * 40_000}), NEXT, "more than 32,768"),
        (lambda: Reply(302, b"", {"Location": "file:///etc/passwd"}), {}, "neither http nor https"),
    ],
)
def test_invalid_response_is_explained(settings, reply, options, reason) -> None:
    settings.MAX_RESPONSE_BYTES = 2 * MIB
    with serving(lambda request: reply()) as web:
        trial = preview_of(web.url, options)

    assert reason in trial.error
    assert trial.seconds < 20


def test_metadata_address_is_refused(settings) -> None:
    assert "169.254.169.254" in preview_of("http://169.254.169.254").error


@pytest.mark.parametrize("server", [slow_server, unreachable_server])
def test_server_that_never_completes_a_response_is_given_up(server) -> None:
    with server() as port:
        trial = preview_of(f"http://127.0.0.1:{port}", connect_timeout=1, read_timeout=1)
    assert trial.error.startswith((f"GET http://127.0.0.1:{port}/orders: ", f"http://127.0.0.1:{port}: "))
    assert trial.error.endswith(" timeout")


@pytest.mark.parametrize(
    ("name", "content", "options", "reason"),
    [
        ("a.json", b"{", {}, "a.json"),
        ("a.csv", b"a;b\n\x00\n", {"csv": {"delimiter": ","}}, "a.csv"),
        ("a.csv", b'a,b\n"1,2\n', {}, "a.csv"),
        (
            "a.xml",
            b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
            {"format": "xml", "xml": {"record": "a"}},
            "a.xml",
        ),
        ("a.xlsx", b"not a workbook", {"format": "xlsx"}, "a.xlsx"),
        ("a.csv.gz", b"not compressed", {}, "a.csv.gz"),
        ("missing/*.csv", None, {}, ""),
    ],
)
def test_invalid_file_is_named(tmp_path, settings, name, content, options, reason) -> None:
    settings.FILE_ROOTS = [tmp_path]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    trial = preview_of(f"file://{tmp_path}", {"path": name, **options}, kind="file")

    assert reason in trial.error
    if content is None:
        assert [line.message for line in trial.lines] == [f"No file matches {name} in file://{tmp_path}."]

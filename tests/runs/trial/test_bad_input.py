"""Invalid and extreme sources in a preview: a helpful message, in time, with constant memory."""

import zlib
from collections.abc import Iterator
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from apps.runs.models import Step
from apps.runs.trial import service_trial
from apps.runs.trial.service_trial import try_service
from tests.factories import make_connection, make_service
from tests.services.web import Reply, reply_json, serving
from tests.unresponsive_servers import silent_server, slow_server, unreachable_server
from tests.workbooks import workbook

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 2**20
SECRET = "cl1ent-secret"


def gigabytes() -> Iterator[bytes]:
    for _block in range(3 * 1024 * 16):
        yield b" " * 65536


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b"0" * MIB) for _ in range(100)), packer.flush()])


def zip_of(name: str, content: bytes) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def service_of(url, options=None, **connection):
    return make_service(
        source_connection=make_connection(url=url, **connection),
        source_options={"path": "/orders", **(options or {})},
    )


def preview_of(url, options=None, **connection):
    return try_service(service_of(url, options, **connection), "", Step.PULL)


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
        (lambda: Reply(302, b"", {"Location": "http://169.254.169.254/"}), {}, "cloud metadata address"),
        (lambda: Reply(302, b"", {"Location": "/orders"}), {}, "redirected more than 5 times"),
        (
            lambda: reply_json({"data": [1], "pages": "many"}),
            {"records": "data", "pagination": {"type": "page", "page_param": "page", "total_pages": "pages"}},
            "no number of pages at “pages”",
        ),
        (
            lambda: Reply(200, b"[1,", {"Content-Length": "100", "Connection": "close"}),
            {},
            "the response ends early: 3 bytes received, 97 missing",
        ),
    ],
)
def test_invalid_response_is_explained(settings, reply, options, reason) -> None:
    settings.MAX_RESPONSE_BYTES = 2 * MIB
    with serving(lambda request: reply()) as web:
        trial = preview_of(web.url, options)

    assert reason in trial.error
    assert trial.seconds < 20


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "neither http nor https"),
        ("http://169.254.169.254/latest", "cloud metadata address"),
        ("/orders", "this page again"),
    ],
)
def test_next_page_that_a_run_cannot_pull_is_named(url, reason) -> None:
    with serving(lambda request: reply_json({"data": [1], "next": url})) as web:
        trial = preview_of(web.url, NEXT)

    assert trial.error == ""
    assert reason in trial.next_page_error
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "is not a JSON object. Check the token URL"),
        (reply_json({"error": "invalid_client"}, 401), "The client ID or the secret is wrong"),
        (
            reply_json({"error": "invalid_grant", "error_description": f"old {SECRET}"}, 400),
            "(invalid_grant: old ••••)",
        ),
    ],
)
def test_invalid_response_of_a_token_endpoint_is_explained(reply, reason) -> None:
    with serving(lambda request: reply) as web:
        token_url = f"{web.url}/token"
        trial = preview_of(
            web.url, auth="oauth2", auth_token_url=token_url, auth_client_id="me", secret=SECRET
        )

    assert reason in trial.error


def test_system_without_response_refers_to_the_connection_test() -> None:
    direct = preview_of("http://127.0.0.1:9")
    proxied = preview_of("http://127.0.0.1:8", proxy="http://127.0.0.1:9")

    assert (direct.is_without_response, proxied.is_without_response) == (True, True)
    assert direct.error == "GET http://127.0.0.1:9/orders: connection failed (Connection refused)"
    assert proxied.error == "GET http://127.0.0.1:8/orders: the proxy failed (Connection refused)"


def test_response_of_a_fault_does_not_refer_to_the_connection_test() -> None:
    with serving(lambda request: Reply(503, b"", {})) as web:
        trial = preview_of(web.url)

    assert (trial.is_without_response, "503" in trial.error) == (False, True)


def test_lines_contain_no_stack_of_an_abandoned_preview(monkeypatch) -> None:
    monkeypatch.setattr(service_trial, "MAX_SECONDS", 0.3)
    with slow_server() as port:
        trial = preview_of(f"http://127.0.0.1:{port}")

    assert (trial.error != "", trial.lines) == (True, [])


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def transform(records:\n", "The script failed in line 1: Parse error"),
        ("def transform(records):\n    pass\n", "transform returned nothing"),
        ("def transform(records):\n    return transform(records)\n", "too many nested calls"),
        ("def transform(records):\n    return ['x' * 9000000]\n", "it may return 8 MiB at most"),
        (
            "def transform(records):\n    x = 'a'\n    for _ in range(40):\n        x += x\n    return [x]\n",
            "more than 512 MiB of memory",
        ),
    ],
)
def test_error_of_a_script_is_explained(script, reason) -> None:
    with serving(lambda request: reply_json([{"id": 1}])) as web:
        trial = try_service(service_of(web.url), script, Step.SCRIPT)

    assert reason in trial.error


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "is missing in the record"),
        ({"id": None}, "is null"),
        ({"id": "../a"}, "would lead to another path"),
    ],
)
def test_record_without_a_place_in_the_path_is_not_sent(record, reason) -> None:
    with serving(lambda request: reply_json([record])) as web:
        service = service_of(web.url)
        service.destination_connection = service.source_connection
        service.destination_options = {"path": "/orders/{id}", "method": "PUT", "batch_size": 1}
        [outgoing] = try_service(service, "", Step.PUSH).outgoing

    assert reason in outgoing.refusal
    assert [request.method for request in web.requests] == ["GET"]


def test_push_to_a_metadata_address_is_refused() -> None:
    with serving(lambda request: reply_json([{"id": 1}])) as web:
        service = service_of(web.url)
        service.destination_connection = make_connection(url="http://169.254.169.254")
        trial = try_service(service, "", Step.PUSH)

    assert (trial.step, trial.outgoing) == (Step.PUSH, [])
    assert "169.254.169.254 is a link-local or cloud metadata address" in trial.error


def test_metadata_address_is_refused(settings) -> None:
    assert "169.254.169.254" in preview_of("http://169.254.169.254").error


@pytest.mark.parametrize("server", [silent_server, unreachable_server])
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
        (
            "a.xml",
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
            {"format": "xml", "xml": {"record": "a"}},
            "refused for security",
        ),
        ("a.xml", b"<a><b/></a>", {"format": "xml", "xml": {"record": "c"}}, "no element “c”; it has b"),
        ("a.zip", zip_of("a.json", b"[" + b" " * 3 * MIB + b"]"), {"format": "json"}, "larger than 2 MiB"),
        ("a.xlsx", b"not a workbook", {"format": "xlsx"}, "a.xlsx"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), {"format": "xlsx"}, "save it as xlsx"),
        ("a.xlsx", workbook({"Orders": []}), {"format": "xlsx"}, "sheet Orders has no header in row 1"),
        ("a.csv", b'a,b\n"1,' + b"x" * 3 * MIB, {}, "perhaps because a quote is not closed"),
        ("a.csv.gz", b"not compressed", {}, "a.csv.gz"),
        ("missing/*.csv", None, {}, ""),
    ],
)
def test_invalid_file_is_named(tmp_path, settings, name, content, options, reason) -> None:
    settings.FILE_ROOTS = [tmp_path]
    settings.MAX_RESPONSE_BYTES = 2 * MIB
    if content is not None:
        (tmp_path / name).write_bytes(content)
    trial = preview_of(f"file://{tmp_path}", {"path": name, **options}, kind="file")

    assert reason in trial.error
    if content is None:
        assert [line.message for line in trial.lines] == [f"No file matches {name} in file://{tmp_path}."]


def test_member_outside_of_its_archive_is_only_a_name(tmp_path, settings) -> None:
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / "a.zip").write_bytes(zip_of("../../etc/passwd.json", b'[{"id": 1}]'))
    trial = preview_of(f"file://{tmp_path}", {"path": "a.zip", "format": "json"}, kind="file")

    assert (trial.error, trial.page.origin) == ("", "a.zip: ../../etc/passwd.json, records 1–1")


def test_files_of_a_preview_stay_where_they_are(tmp_path, settings) -> None:
    settings.FILE_ROOTS = [tmp_path]
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(f'[{{"id": {number}}}]')
    options = {"path": "*.json", "only_new": True, "after": {"move_to": "done/"}}
    trial = preview_of(f"file://{tmp_path}", options, kind="file")

    assert trial.page.records == [{"id": 0}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "1.json", "2.json"]

"""Fingerprints of real messages: one cause, one problem; another cause, another problem."""

import itertools

import pytest

from apps.runs.log.fingerprint import fingerprint, normalized, title_of

TRACE = """Internal error in Synclog
Traceback (most recent call last):
  File "/srv/app/pipeline.py", line {line}, in {function}
    value = row[key]
            ~~~^^^^^
{error}"""

# Each list is one cause.
CORPUS = [
    [
        "POST https://shop.example/orders?page=3: 422 Unprocessable Entity: unknown sku",
        "POST https://shop.example/orders?page=17: 422 Unprocessable Entity: unknown sku",
    ],
    [
        'POST https://shop.example/orders: 422 Unprocessable Entity: {"error": "unknown sku", "order": "10045"}',
        'POST https://shop.example/orders: 422 Unprocessable Entity: {"error": "unknown sku", "order": "A-1"}',
    ],
    [
        'POST https://shop.example/orders: 422 Unprocessable Entity: {"error": "price missing", "order": "10045"}',
        'POST https://shop.example/orders: 422 Unprocessable Entity: {"error": "price missing", "order": "7"}',
    ],
    [
        "GET https://shop.example/orders: 503 Service Unavailable (attempt 1 of 5; retry in 2.0 s)",
        "GET https://shop.example/orders?since=2026-11-01: 503 Service Unavailable (attempt 4 of 5; retry in 16.3 s)",
    ],
    [
        "GET https://shop.example/orders: 503 Service Unavailable (gave up after 1 attempt)",
        "GET https://shop.example/orders: 503 Service Unavailable (gave up after 5 attempts)",
    ],
    ["GET https://shop.example/orders: 401 Unauthorized", "GET https://shop.example/stock: 401 Unauthorized"],
    ["GET https://shop.example/orders: connect timeout", "GET https://crm.example:8443/: connect timeout"],
    ["GET https://shop.example/orders: read timeout", "GET https://crm.example/a/b?c=d: read timeout"],
    [
        "GET https://shop.example/a: connection failed (Connection refused)",
        "GET http://10.0.0.7:8080/b: connection failed (Connection refused)",
    ],
    [
        "GET https://shop.example/a: unknown host (Name or service not known)",
        "GET https://crm.example/b: unknown host (Name or service not known)",
    ],
    [
        "GET https://a.example/: the TLS certificate is not trusted (certificate has expired).",
        "GET https://b.example/: the TLS certificate is not trusted (certificate has expired).",
    ],
    [
        "GET https://a.example/: the TLS certificate is not trusted (self-signed certificate).",
        "GET https://b.example/x: the TLS certificate is not trusted (self-signed certificate).",
    ],
    [
        "1 record refused: unknown sku (10045)",
        "2 records refused: unknown sku (10045, 10046)",
        "250 records refused: unknown sku (A-1, A-2, A-3 and 247 more)",
    ],
    [
        "3 records accepted, 1 record refused: no price (10047)",
        "1 record accepted, 12 records refused: no price (10, 11, 12)",
    ],
    [
        "The destination refused 1 record, more than the limit of 0",
        "The destination refused 1,204 records, more than the limit of 100",
    ],
    [
        "The run is late: its scheduled time was 2026-11-23 07:15 UTC",
        "The run is late: its scheduled time was 2026-12-01 23:59 UTC",
    ],
    [
        "Records of the selection that the source did not contain: 10045",
        "Records of the selection that the source did not contain: 10045, 10046 and 17 more",
    ],
    [
        "The first 2 captured payloads were dropped: together they exceeded 64 MiB (SYNCLOG_CAPTURE_MIB)",
        "The first 1,200 captured payloads were dropped: together they exceeded 16 MiB (SYNCLOG_CAPTURE_MIB)",
    ],
    [
        "The greatest value at “updated_at”, 2027-01-01T00:00:00Z, is in the future; the start of this run counts",
        "The greatest value at “changed”, 2031-05-01T10:30:00+02:00, is in the future; the start of this run counts",
    ],
    [
        "No record has a value at “updated_at” (since.from): {since} of the next run does not change",
        "No record has a value at “meta.changed” (since.from): {since} of the next run does not change",
    ],
    [
        "orders-2026-11-03.csv left out: it disappeared before it was read",
        "stock.csv left out: it disappeared before it was read",
        "/in/2026/customers.xlsx left out: it disappeared before it was read",
    ],
    [
        "orders.csv has changed since it was read and stays for the next run",
        "orders-17.csv has changed since it was read and stays for the next run",
    ],
    ["orders.csv is gone and cannot be moved", "orders_2026_11.csv is gone and cannot be moved"],
    ["orders.csv is gone and cannot be deleted", "in/b.csv is gone and cannot be deleted"],
    [
        "orders.csv, line 17: it has 4 columns, and 5 were expected",
        "stock.csv, line 90210: it has 12 columns, and 11 were expected",
    ],
    [
        "stock.xlsx: cell B17 contains an error; such cells are empty.",
        "stock.xlsx: cell AA4 contains an error; such cells are empty.",
    ],
    [
        "data.json is not JSON: Expecting value: line 1 column 1 (char 0)",
        "more.json is not JSON: Expecting value: line 40 column 7 (char 3999)",
    ],
    [
        "data.xml, line 7 declares or uses an XML entity, which is refused for security.",
        "b.xml, line 12 declares or uses an XML entity, which is refused for security.",
    ],
    [
        "… 1 line was lost here: the spool could not be written: No space left on device …",
        "… 1,204 lines were lost here: the spool could not be written: No space left on device …",
    ],
    [
        "1 line arrived late from the worker and follow here",
        "317 lines arrived late from the worker and follow here",
    ],
    [
        "Run lost: worker shop-7:1204 stopped responding at 07:15:03",
        "Run lost: worker shop-12:9 stopped responding at 23:00:59",
    ],
    [
        "Script: KeyError: 'sku' in line 4 of transform",
        "Script: KeyError: 'price' in line 12 of transform",
    ],
    [
        "Script: division by zero in line 4 of transform",
        "Script: division by zero in line 9 of transform",
    ],
    [
        "The script exceeded its limit of 5 seconds",
        "The script exceeded its limit of 30 seconds",
    ],
    [
        "The script exceeded its limit of 64 MiB",
        "The script exceeded its limit of 128 MiB",
    ],
    ["[Errno 111] Connection refused", "[Errno 111] Connection refused"],
    ["[Errno 104] Connection reset by peer"],
    [
        "Payload 123e4567-e89b-12d3-a456-426614174000 of run 17 has no object in the store",
        "Payload abcdefab-cdef-abcd-efab-cdefabcdefab of run 90210 has no object in the store",
    ],
    ["Mail to ada@example.com bounced", "Mail to grace.hopper@navy.example bounced"],
    ["Upstream responded with HTTP 404", "Upstream responded with HTTP 404"],
    ["Upstream responded with HTTP 500"],
    ["job.sh ended with exit code 1", "job.sh ended with exit code 1"],
    ["job.sh ended with exit code 137"],
    ["ORA-01017: invalid username/password; logon denied"],
    ["ORA-00942: table or view does not exist"],
    [
        "duplicate key value violates unique constraint „orders_pkey“, key 10045",
        "duplicate key value violates unique constraint „orders_pkey“, key 10046",
    ],
    [
        "Lock 0x7f3e9a0b4c2d is held by process 1204 since 2026-11-23T07:15:09.120Z",
        "Lock 0x00007f0000aa is held by process 7 since 2026-11-24T00:00:00Z",
    ],
    [
        TRACE.format(line=17, function="read", error="KeyError: 'sku'"),
        TRACE.format(line=18, function="read", error="KeyError: 'price'"),
    ],
    [TRACE.format(line=17, function="write", error="KeyError: 'sku'")],
    [
        TRACE.format(line=3, function="read", error="ValueError: invalid literal for int(): '12x'"),
        TRACE.format(line=9, function="read", error="ValueError: invalid literal for int(): 'x7'"),
    ],
    [
        "Customer 17 has no address",
        "Customer 18 has no address\nwith more details of this one",
    ],
    ["Kunde „Müller“ hat keine Adresse", "Kunde „Ada Lovelace“ hat keine Adresse"],
]


def test_corpus_is_large_enough() -> None:
    assert len(list(itertools.chain.from_iterable(CORPUS))) >= 90
    assert len(CORPUS) >= 50


@pytest.mark.parametrize("messages", CORPUS, ids=lambda messages: messages[0][:60])
def test_one_cause_is_one_problem(messages: list[str]) -> None:
    assert {normalized(message) for message in messages} == {normalized(messages[0])}
    assert {fingerprint(message) for message in messages} == {fingerprint(messages[0])}


def test_different_causes_are_different_problems() -> None:
    causes: dict[str, str] = {}
    for first, *_others in CORPUS:
        causes.setdefault(fingerprint(first), first)

    assert list(causes.values()) == [first for first, *_others in CORPUS]


@pytest.mark.parametrize(
    "message",
    ["", "\n", "x" * 40_000, '"' * 3_000, "1" * 3_000, "a." * 2_000, "/" * 3_000, "-1" * 2_000, "“„‘" * 900],
    ids=["empty", "line feed", "long", "quotes", "digits", "dots", "slashes", "hyphens", "other quotes"],
)
@pytest.mark.timeout(10)
def test_any_message_has_a_fingerprint_soon(message: str) -> None:
    assert len(fingerprint(message)) == 18


def test_fingerprints_of_version_1_do_not_change() -> None:
    assert fingerprint("1 record refused: unknown sku (10045)") == "1-9c5d141d0ffdf697"


def test_title_is_the_first_line_and_the_exception() -> None:
    assert title_of("Customer 17 has no address\nwith details") == "Customer 17 has no address"
    assert title_of(TRACE.format(line=1, function="read", error="KeyError: 'sku'")) == (
        "Internal error in Synclog: KeyError: 'sku'"
    )
    script = "The script failed in line 9: Key “vat” was not found"
    trace = TRACE.partition("\n")[2].format(
        line=9, function="transform", error="error: Key `vat` was not found"
    )
    assert title_of(f"{script}\n{trace}") == script
    assert title_of("x" * 500) == "x" * 199 + "…"

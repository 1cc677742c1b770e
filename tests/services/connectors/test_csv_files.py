"""CSV files: delimiters, encodings, headers, invalid content and memory use; reading and writing."""

import codecs
import tracemalloc
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_source
from apps.services.models import Service
from tests.services.transfers import connection_to, make_context, pull, push

MIB = 1024 * 1024
RECORDS = [{"sku": "1", "name": "Käse"}, {"sku": "2", "name": "Öl, kalt; gepresst"}]


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    return tmp_path


def read(root: Path, content: bytes | str, **csv):
    (root / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    pages = pull(connection_to(f"file://{root}"), {"path": "a.csv", "csv": csv})
    return [record for page in pages for record in page.records]


def written(root: Path, records, path: str = "b.csv", **csv) -> bytes:
    push(connection_to(f"file://{root}"), {"path": path, "csv": csv}, [records])
    return (root / path).read_bytes()


def test_semicolon_csv(root):
    assert read(root, "sku;price\n1;19,90\n2;1.000,00\n") == [
        {"sku": "1", "price": "19,90"},
        {"sku": "2", "price": "1.000,00"},
    ]


def test_tab_separated_csv(root):
    assert read(root, "sku\tname\n1\tSmith, John\n") == [{"sku": "1", "name": "Smith, John"}]


def test_pipe_separated_csv(root):
    assert read(root, "sku|name\n1|a;b\n") == [{"sku": "1", "name": "a;b"}]


def test_delimiter_is_detected_beside_quoted_delimiters(root):
    assert read(root, '"a;b";"c;d"\n1;"x,y;z"\n') == [{"a;b": "1", "c;d": "x,y;z"}]


def test_rows_decide_between_delimiters_of_the_header(root):
    content = "id;name, first, last, title\n1;Ada\n2;Bo\n"

    assert read(root, content)[0] == {"id": "1", "name, first, last, title": "Ada"}


def test_ambiguous_delimiter_is_rejected(root):
    with pytest.raises(ConnectorError, match=r"line 1 .*may be comma or semicolon\. Set “delimiter”"):
        read(root, "a,b;c\n1,2;3\n")


def test_given_delimiter_is_used(root):
    assert read(root, "a,b;c\n1,2;3\n", delimiter=";") == [{"a,b": "1,2", "c": "3"}]
    assert read(root, "a\tb\n1\t2\n", delimiter="tab") == [{"a": "1", "b": "2"}]
    assert read(root, "a^b\n1^2\n", delimiter="^") == [{"a": "1", "b": "2"}]


def test_one_column_csv(root):
    assert read(root, "sku\n1\n2\n") == [{"sku": "1"}, {"sku": "2"}]
    assert read(root, 'comment\n"a; b"\n') == [{"comment": "a; b"}]


@pytest.mark.parametrize(
    ("content", "csv"),
    [
        ("Export of today\nsku;name\n1;a\n", {}),
        ("id\n1;2\n", {}),
        ("sku\tname\n1\ta\n", {"delimiter": ","}),
        ("id\n1;2\n3;4\n", {"delimiter": ","}),
    ],
)
def test_header_of_one_column_above_rows_with_another_delimiter_is_rejected(root, content, csv):
    with pytest.raises(ConnectorError, match=r"a\.csv, line 1 .*another delimiter"):
        read(root, content, **csv)


def test_other_delimiter_far_below_a_header_of_one_column_is_rejected(root):
    quoted = '"a;b"\n"a\n;b"\n'
    content = f"id\n{'1\n' * 500}{quoted}"

    assert len(read(root, content)) == 502
    with pytest.raises(ConnectorError, match=r"line 505 .* the file contains another delimiter, semicolon"):
        read(root, f"{content}2;x\n")


def test_line_of_excel_names_the_delimiter(root):
    assert read(root, "sep=;\r\na,b;c\r\n1,2;3\r\n") == [{"a,b": "1,2", "c": "3"}]


def test_rows_before_the_header_are_skipped(root):
    assert read(root, "Export;of\n2026\n\nsku;name\n1;a\n", skip_rows=3) == [{"sku": "1", "name": "a"}]


def test_file_whose_lines_are_all_skipped_is_a_warning(root, caplog):
    assert read(root, "", skip_rows=2) == []
    assert caplog.messages == []
    assert read(root, "sku;name\n1;a\n", skip_rows=2) == []
    assert caplog.messages == ["a.csv has no records: “skip_rows” skips all of its lines"]


def test_error_after_skipped_rows_names_the_line_of_the_file(root):
    with pytest.raises(ConnectorError, match="line 4 is invalid CSV: it has 1 columns, and the header has 2"):
        read(root, "Export\n\nsku;name\n1\n", skip_rows=2)


def test_file_without_header_has_given_names(root):
    assert read(root, "1;19,90\n2;5,00\n", names=["sku", "price"]) == [
        {"sku": "1", "price": "19,90"},
        {"sku": "2", "price": "5,00"},
    ]
    with pytest.raises(ConnectorError, match=r"line 1 .*it has 3 columns, and “names” lists 2"):
        read(root, "1;2;3\n", names=["a", "b"])


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
    ],
)
def test_byte_order_mark_gives_the_encoding(root, encoding, mark):
    content = mark + 'sku;name\r\n1;Käse\r\n2;"Öl, kalt; gepresst"\r\n'.encode(encoding)

    assert read(root, content) == RECORDS
    assert read(root, content, encoding="cp1252") == RECORDS


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "cp850"])
def test_given_encoding_is_used(root, encoding):
    assert read(root, "sku;name\n1;Käse\n".encode(encoding), encoding=encoding) == RECORDS[:1]


def test_character_between_two_reads_is_decoded(root):
    content = "a,b\n" + "x,\U0001f9c0ä\n" * 30_000

    assert read(root, content.encode()) == [{"a": "x", "b": "\U0001f9c0ä"}] * 30_000
    assert len(read(root, content.encode("utf-16"))) == 30_000


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(root, end):
    content = f"a,b{end}" + f'1,"x{end}y"{end}' * 20_000

    assert read(root, content) == [{"a": "1", "b": f"x{end}y"}] * 20_000


@pytest.mark.parametrize(
    ("content", "csv", "reason"),
    [
        ("a;b\n1;K\xe4se\n".encode("latin-1"), {}, "line 2 .*byte 0xe4 is not UTF-8. Set “encoding” of csv"),
        ("a;b\n1;a\n".encode("utf-16-le"), {}, "line 1 .*NUL.*utf-16-le"),
        (b"a;b\n1;\x81\n", {"encoding": "cp1252"}, "line 2 .*byte 0x81 is not CP1252"),
        (b"a;b\n1;2\n", {"encoding": "utf-16"}, "byte 0x61 is not UTF-16"),
    ],
)
def test_wrong_encoding_is_reported(root, content, csv, reason):
    with pytest.raises(ConnectorError, match=reason):
        read(root, content, **csv)


def test_nul_is_reported_with_its_line(root):
    with pytest.raises(ConnectorError, match="line 20001 is invalid CSV: it contains a NUL"):
        read(root, b"a,b\n" + b"1,2\n" * 19_999 + b"1,\x00\n")


def test_5000_columns(root):
    names = [f"c{number}" for number in range(5000)]

    [record] = read(root, ";".join(names) + "\n" + ";".join(map(str, range(5000))) + "\n")

    assert record == {name: str(number) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x" * 99 + b"\n", "a field is larger than 16 MiB; perhaps a quote"),
        (b'y","z\n', "one record, perhaps"),
    ],
)
def test_unterminated_quote_in_a_huge_file_is_reported(root, settings, line, reason):
    settings.MAX_RESPONSE_BYTES = 20 * MIB
    with (root / "a.csv").open("wb") as file:
        file.write(b'a,b\n1,2\n3,"')
        for _block in range(30):
            file.write(line * (MIB // len(line)))

    with (
        open_source(
            Service(
                slug="large",
                source_connection=connection_to(f"file://{root}"),
                source_options={"path": "a.csv"},
            ),
            make_context(),
        ) as source,
        pytest.raises(ConnectorError, match=rf"a\.csv, line 3.*{reason}"),
    ):
        list(source.pages())


def test_many_short_records_after_a_large_one_are_read(root, settings):
    settings.MAX_RESPONSE_BYTES = MIB

    assert len(read(root, "a,b\n" + f'1,"{"x" * 900_000}"\n' * 3 + "1,2\n" * 100_000)) == 100_003


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_memory_use_stays_constant_for_a_large_csv(root, encoding):
    with (root / "a.csv").open("w", encoding=encoding) as file:
        file.write("sku;text\n")
        for _block in range(200):
            file.write(f'1;"{"ä" * 500}"\n' * 100)
    service = Service(
        slug="large",
        source_connection=connection_to(f"file://{root}"),
        source_options={"path": "a.csv", "page_size": 500, "csv": {"encoding": encoding}},
    )

    tracemalloc.start()
    with open_source(service, make_context()) as source:
        pulled = sum(len(page.records) for page in source.pages())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert pulled == 20_000
    assert peak < 4 * MIB


def test_semicolon_csv_in_cp1252_is_written(root):
    assert written(root, RECORDS, delimiter=";", encoding="cp1252") == (
        'sku;name\n1;Käse\n2;"Öl, kalt; gepresst"\n'.encode("cp1252")
    )


def test_tab_separated_csv_is_written(root):
    assert written(root, [{"a": "1", "b": "x,y"}], "b.tsv") == b"a\tb\n1\tx,y\n"
    assert written(root, [{"a": "1", "b": "x,y"}], delimiter="tab") == b"a\tb\n1\tx,y\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_is_written_once(root, encoding):
    content = written(root, RECORDS, encoding=encoding)

    assert content == 'sku,name\n1,Käse\n2,"Öl, kalt; gepresst"\n'.encode(encoding)
    assert read(root, content) == RECORDS


def test_csv_without_header_is_written(root):
    records = [{"price": "5,00"}, {"sku": "2"}]

    assert written(root, records, names=["sku", "price"]) == b',"5,00"\n2,\n'
    with pytest.raises(ConnectorError, match="record 1 has the fields other"):
        written(root, [{"other": 1}], names=["sku"])


def test_character_that_the_encoding_lacks_is_reported(root):
    with pytest.raises(ConnectorError, match="record 2 contains “Ł”, which CP1252 cannot represent"):
        written(root, [{"a": "ä"}, {"a": "Ł"}], encoding="cp1252")


@pytest.mark.parametrize(
    ("csv", "key", "reason"),
    [
        ({"delimiter": ";;"}, "delimiter", "“;;” is not a delimiter; write one character, tab or auto"),
        ({"delimiter": '"'}, "delimiter", "is not a delimiter"),
        ({"encoding": "utf-9"}, "encoding", "Unknown encoding “utf-9”"),
        ({"encoding": "base64"}, "encoding", "Unknown encoding “base64”"),
        ({"skip_rows": -1}, "skip_rows", "write a whole number from 0"),
        ({"names": ["a", "a"]}, "names", "Every name must be set and unique"),
        ({"quote": "'"}, "quote", "Unknown option. Allowed: delimiter, encoding, names, skip_rows"),
    ],
)
def test_invalid_dialect_is_reported_by_key(root, csv, key, reason):
    with pytest.raises(ConnectorError, match=rf"csv\.{key}: .*{reason}"):
        read(root, "", **csv)

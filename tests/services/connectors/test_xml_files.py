"""XML files: mapping of elements to records, and refusal of what XML can do to its readers."""

import tracemalloc
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.services.connectors.base import ConnectorError
from apps.services.connectors.endpoints import open_source
from apps.services.models import Service
from tests.services.transfers import connection_to, make_context, pull

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    return tmp_path


def read(root: Path, content: bytes | str, record: str = "order", **xml):
    (root / "a.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
    pages = pull(connection_to(f"file://{root}"), {"path": "*.xml", "xml": {"record": record, **xml}})
    return [record for page in pages for record in page.records]


def test_xml_elements_are_records(root):
    content = """<?xml version="1.0"?>
        <orders xmlns="urn:shop">
          <order id="1"><sku>A</sku><price currency="EUR">19.90</price><note/></order>
          <order id="2"><sku>B</sku><!-- sold out --><note><![CDATA[a < b]]> &amp; c</note></order>
        </orders>"""

    assert read(root, content) == [
        {"@id": "1", "sku": "A", "price": {"@currency": "EUR", "#text": "19.90"}, "note": ""},
        {"@id": "2", "sku": "B", "note": "a < b & c"},
    ]


def test_repeated_children_are_a_list(root):
    content = (
        "<x><order><item>1</item><note/><item>2</item><item>3</item></order><order><item>4</item></order></x>"
    )

    assert read(root, content) == [{"item": ["1", "2", "3"], "note": ""}, {"item": "4"}]
    assert read(root, content, lists=["item"]) == [{"item": ["1", "2", "3"], "note": ""}, {"item": ["4"]}]


def test_text_beside_children_is_kept(root):
    assert read(root, "<x><order>a<b>1</b>c</order><order> t </order><order/></x>") == [
        {"b": "1", "#text": "ac"},
        {"#text": " t "},
        {},
    ]


def test_prefix_of_a_name_is_kept(root):
    content = '<x xmlns:s="urn:s"><s:order s:id="1"><s:sku>A</s:sku></s:order></x>'

    assert read(root, content) == read(root, content, "s:order") == [{"@s:id": "1", "s:sku": "A"}]


def test_element_within_a_record_of_the_same_name_is_a_child(root):
    assert read(root, "<order><order>1</order></order>") == [{"order": "1"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_xml_declaration_gives_the_encoding(root, encoding):
    content = f'<?xml version="1.0" encoding="{encoding}"?><x><order><name>Käse</name></order></x>'

    assert read(root, content.encode(encoding)) == [{"name": "Käse"}]


def test_missing_record_element_is_reported(root):
    with pytest.raises(
        ConnectorError, match=r"a.xml has no element “order”; it has head, date, position. Set"
    ):
        read(root, "<x><head><date/></head><position/></x>")


def test_root_without_children_has_no_records(root):
    assert read(root, "<orders/>") == []


@pytest.mark.parametrize(
    "content",
    [
        # Entity expansion ("billion laughs").
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x><order>&b;</order></x>',
        # External entities.
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><order>&a;</order></x>',
        '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x.dtd"> %a;]><x><order>1</order></x>',
        # An entity of an external document type, which would be dropped.
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x><order>a&nbsp;b</order></x>',
    ],
)
def test_xml_entities_are_refused(root, content):
    with pytest.raises(ConnectorError, match=r"a.xml, line 1 declares or uses an XML entity"):
        read(root, content)


def test_document_type_is_not_fetched(root):
    content = '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x><order><a>1</a></order></x>'

    assert read(root, content) == [{"a": "1"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<x>\n<order></x>", "line 2 is invalid XML: mismatched tag"),
        ("", "is invalid XML: no element found"),
        ("id;name", "line 1 is invalid XML"),
        ("<x><order>&nbsp;</order></x>", "invalid XML: undefined entity"),
        ('<?xml version="1.0" encoding="utf-99"?><x/>', "is invalid XML: unknown encoding"),
        ("<x>" * 200 + "</x>" * 200, "nested deeper than 100"),
        (b"<x><order>\x00</order></x>", "is invalid XML: not well-formed"),
    ],
)
def test_invalid_xml_is_reported(root, content, reason):
    with pytest.raises(ConnectorError, match=reason):
        read(root, content)


def test_xml_record_beyond_memory_limit_is_rejected(root, settings):
    settings.MAX_RESPONSE_BYTES = MIB

    with pytest.raises(ConnectorError, match="one record is larger than 1 MiB"):
        read(root, "<x><order>" + "<a>1</a>" * MIB + "</order></x>")


def test_memory_use_stays_constant_for_a_large_xml(root):
    with (root / "a.xml").open("wb") as file:
        file.write(b"<x>")
        for _block in range(200):
            file.write(b"<order><id>1</id><text>" + b"x" * 500 + b"</text></order>")
            file.write(b"<other>x</other>" * 500)
        file.write(b"</x>")
    service = Service(
        slug="large",
        source_connection=connection_to(f"file://{root}"),
        source_options={"path": "a.xml", "page_size": 10, "xml": {"record": "order"}},
    )

    tracemalloc.start()
    with open_source(service, make_context()) as source:
        pulled = sum(len(page.records) for page in source.pages())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert pulled == 200
    assert peak < 4 * MIB


def test_xml_needs_the_record_element(root):
    with pytest.raises(ConnectorError, match=r"xml\.record: Required"):
        pull(connection_to(f"file://{root}"), {"path": "a.xml"})

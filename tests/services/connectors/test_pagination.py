"""Pagination of HTTP sources: next page in body, header, path and query; end of the pull; hostile next pages."""

from itertools import count

import pytest
from django.core.exceptions import ValidationError

from apps.services.connectors.address_guard import AddressRefused
from apps.services.connectors.base import ConnectorError
from apps.services.connectors.http import pagination as http_pagination
from apps.services.definition.options import read_source
from tests.services.transfers import connection_to, make_context, pull
from tests.services.web import Reply, Request, reply_json, serving

NEXT_URL = {"records": "rows", "pagination": {"type": "next_url", "next_url": "next"}}


def rows(*numbers: int) -> list[dict[str, int]]:
    return [{"id": number} for number in numbers]


def records_of(pages) -> list[int]:
    return [record["id"] for page in pages for record in page.records]


@pytest.mark.parametrize("base", ["{url}/orders", "/orders", "orders", ""])
def test_next_url_in_body(base):
    def respond(request: Request) -> Reply:
        page = int(request.query.get("p", 1))
        following = f"{base.format(url=web.url)}?p={page + 1}" if page < 3 else None
        return reply_json({"rows": rows(page), "next": following})

    with serving(respond) as web:
        pages = pull(
            connection_to(web.url, auth="bearer", secret="s3cret"),
            {**NEXT_URL, "path": "/orders", "params": {"open": 1}},
        )

    assert records_of(pages) == [1, 2, 3]
    assert [request.query for request in web.requests] == [{"open": "1"}, {"p": "2"}, {"p": "3"}]
    assert {request.path for request in web.requests} == {"/orders"}
    assert {request.headers["authorization"] for request in web.requests} == {"Bearer s3cret"}


def test_next_url_with_quoted_key_in_body():
    def respond(request: Request) -> Reply:
        following = {} if "$skip" in request.query else {"@odata.nextLink": "Orders?$skip=1"}
        return reply_json({"value": rows(len(request.query) + 1), **following})

    options = {"records": "value", "pagination": {"type": "next_url", "next_url": '"@odata.nextLink"'}}
    with serving(respond) as web:
        pages = pull(connection_to(f"{web.url}/odata"), {**options, "path": "/Orders"})

    assert records_of(pages) == [1, 2]
    assert [request.path for request in web.requests] == ["/odata/Orders", "/odata/Orders"]


def test_next_url_to_another_host_gets_no_credentials(caplog):
    with serving(lambda request: reply_json({"rows": rows(2)})) as other:
        first = {"rows": rows(1), "next": f"{other.url}/more"}
        with serving(lambda request: reply_json(first)) as web:
            pages = pull(
                connection_to(web.url, auth="header", auth_header="X-Key", secret="s3cret"),
                {**NEXT_URL, "headers": {"X-Tenant": "acme"}},
            )

    assert records_of(pages) == [1, 2]
    assert web.requests[0].headers["x-key"] == "s3cret"
    assert {"x-key", "x-tenant"} & other.requests[0].headers.keys() == set()
    assert "another system, which gets no credentials" in caplog.text


def test_user_in_next_url_does_not_replace_the_credentials():
    def respond(request: Request) -> Reply:
        following = None if request.query else web.url.replace("//", "//me:pw@") + "?p=2"
        return reply_json({"rows": rows(1 + len(request.query)), "next": following})

    with serving(respond) as web:
        pages = pull(connection_to(web.url, auth="bearer", secret="s3cret"), NEXT_URL)

    assert records_of(pages) == [1, 2]
    assert [request.headers["authorization"] for request in web.requests] == ["Bearer s3cret"] * 2


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:alert(1)"])
def test_next_url_with_another_scheme_is_rejected(target):
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": target})) as web,
        pytest.raises(ConnectorError, match="neither http nor https"),
    ):
        pull(connection_to(web.url), NEXT_URL)


def test_next_url_to_metadata_address_is_rejected():
    target = "http://169.254.169.254/latest/meta-data"
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": target})) as web,
        pytest.raises(AddressRefused),
    ):
        pull(connection_to(web.url), NEXT_URL)


def test_next_url_of_10_kilobytes_is_shortened_in_the_log():
    def respond(request: Request) -> Reply:
        following = None if "c" in request.query else "?c=" + "x" * 10_000
        return reply_json({"rows": rows(len(request.query)), "next": following})

    with serving(respond) as web:
        pages = pull(connection_to(web.url), NEXT_URL)

    assert records_of(pages) == [0, 1]
    assert len(web.requests[1].query["c"]) == 10_000
    assert len(pages[1].origin) < 2100


@pytest.mark.parametrize(
    ("target", "message"),
    [("x" * 40_000, "40,000 characters"), ("http://[", "is invalid"), ({"href": "/a"}, "is not text")],
)
def test_unusable_next_url_is_reported(target, message):
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": target})) as web,
        pytest.raises(ConnectorError, match=message),
    ):
        pull(connection_to(web.url), NEXT_URL)


def test_next_url_that_points_to_itself_is_reported():
    number = count(1)
    with (
        serving(lambda request: reply_json({"rows": rows(next(number)), "next": request.path})) as web,
        pytest.raises(ConnectorError, match="the pull would never end"),
    ):
        pull(connection_to(web.url), {**NEXT_URL, "path": "/orders"})

    assert len(web.requests) == 1


def test_cursor_in_header():
    def respond(request: Request) -> Reply:
        after = int(request.query.get("after", 0))
        return reply_json(rows(after), **({"X_Next_Cursor": str(after + 1)} if after < 2 else {}))

    options = {"pagination": {"type": "cursor", "cursor_header": "X-Next-Cursor", "param": "after"}}
    with serving(respond) as web:
        pages = pull(connection_to(web.url), options)

    assert records_of(pages) == [0, 1, 2]


def test_has_more_ends_the_pull_although_there_is_a_cursor():
    def respond(request: Request) -> Reply:
        after = int(request.query.get("after", 0))
        return reply_json({"rows": rows(after), "cursor": after + 1, "has_more": after < 2})

    options = {
        "records": "rows",
        "pagination": {"type": "cursor", "cursor": "cursor", "param": "after", "has_more": "has_more"},
    }
    with serving(respond) as web:
        pages = pull(connection_to(web.url), options)

    assert records_of(pages) == [0, 1, 2]


@pytest.mark.parametrize("pagination", [{"type": "page"}, {"type": "offset", "size_param": "limit"}])
def test_has_more_continues_after_a_short_page(pagination):
    number = count(1)

    def respond(request: Request) -> Reply:
        current = next(number)
        return reply_json({"rows": rows(current), "more": current < 3})

    options = {"records": "rows", "pagination": {**pagination, "has_more": "more"}}
    with serving(respond) as web:
        pages = pull(connection_to(web.url), options)

    assert records_of(pages) == [1, 2, 3]


@pytest.mark.parametrize("has_more", ["false", "0", 0, [], False])
def test_has_more_as_text_or_number(has_more):
    options = {"records": "rows", "pagination": {"type": "page", "has_more": "more"}}
    with serving(lambda request: reply_json({"rows": rows(1), "more": has_more})) as web:
        assert records_of(pull(connection_to(web.url), options)) == [1]


@pytest.mark.parametrize(
    ("response", "message"),
    [({"rows": [1]}, "does not say at “more”"), ({"rows": [1], "more": True}, "has no cursor at “cursor”")],
)
def test_unclear_has_more_is_reported(response, message):
    options = {
        "records": "rows",
        "pagination": {"type": "cursor", "cursor": "cursor", "has_more": "more"},
    }
    with serving(lambda request: reply_json(response)) as web, pytest.raises(ConnectorError, match=message):
        pull(connection_to(web.url), options)


@pytest.mark.parametrize("total", [3, "3", 3.0])
def test_total_pages_ends_the_pull(total):
    def respond(request: Request) -> Reply:
        return reply_json({"rows": rows(int(request.query["page"])), "meta": {"pages": total}})

    options = {"records": "rows", "pagination": {"type": "page", "first": 0, "total_pages": "meta.pages"}}
    with serving(respond) as web:
        pages = pull(connection_to(web.url), options)

    assert records_of(pages) == [0, 1, 2]


@pytest.mark.parametrize("total", [None, "many", True, []])
def test_total_pages_without_a_number_is_reported(total):
    options = {"records": "rows", "pagination": {"type": "page", "total_pages": "pages"}}
    with (
        serving(lambda request: reply_json({"rows": rows(1), "pages": total})) as web,
        pytest.raises(ConnectorError, match="no number of pages at “pages”"),
    ):
        pull(connection_to(web.url), options)


def test_status_204_ends_the_pull():
    def respond(request: Request) -> Reply:
        page = int(request.query["page"])
        return Reply(204) if page == 3 else reply_json(rows(page))

    with serving(respond) as web:
        pages = pull(connection_to(web.url), {"pagination": {"type": "page"}})

    assert records_of(pages) == [1, 2]


def test_end_status_ends_the_pull():
    def respond(request: Request) -> Reply:
        page = int(request.query["page"])
        return reply_json({"detail": "Invalid page."}, 404) if page == 3 else reply_json(rows(page))

    with serving(respond) as web:
        pages = pull(connection_to(web.url), {"pagination": {"type": "page", "end_status": [404]}})

    assert records_of(pages) == [1, 2]


def test_end_status_of_the_first_page_is_a_warning(caplog):
    with serving(lambda request: reply_json({}, 404)) as web:
        pages = pull(connection_to(web.url), {"pagination": {"type": "page", "end_status": [404]}})

    assert pages == []
    assert [record.levelname for record in caplog.records if record.levelno > 20] == ["WARNING"]


def test_other_status_after_the_last_page_is_an_error():
    def respond(request: Request) -> Reply:
        return reply_json({}, 400) if request.query["page"] == "2" else reply_json(rows(1))

    with serving(respond) as web, pytest.raises(ConnectorError, match="400 Bad Request"):
        pull(connection_to(web.url), {"pagination": {"type": "page", "end_status": [404]}})


@pytest.mark.parametrize(
    "pagination", [{"type": "cursor", "cursor": "next"}, {"type": "next_url", "next_url": "next"}]
)
def test_empty_page_that_repeats_its_cursor_ends_the_pull(pagination):
    def respond(request: Request) -> Reply:
        is_last = request.query.get("cursor") == "a"
        return reply_json(
            {"rows": [] if is_last else rows(1), "next": "a" if "url" not in pagination else ""}
        )

    def respond_with_url(request: Request) -> Reply:
        is_last = request.query.get("cursor") == "a"
        return reply_json({"rows": [] if is_last else rows(1), "next": "/?cursor=a"})

    with serving(respond if pagination["type"] == "cursor" else respond_with_url) as web:
        pages = pull(connection_to(web.url), {"records": "rows", "pagination": pagination})

    assert records_of(pages) == [1]
    assert len(web.requests) == 2


def test_page_with_records_that_repeats_its_cursor_is_reported():
    number = count(1)
    options = {"records": "rows", "pagination": {"type": "cursor", "cursor": "next"}}
    with (
        serving(lambda request: reply_json({"rows": rows(next(number)), "next": "a"})) as web,
        pytest.raises(ConnectorError, match="the pull would never end"),
    ):
        pull(connection_to(web.url), options)

    assert len(web.requests) == 2


def test_endless_empty_pages_are_reported(monkeypatch):
    monkeypatch.setattr(http_pagination, "MAX_EMPTY_PAGES", 20)
    options = {"records": "rows", "pagination": {"type": "page", "has_more": "more"}}
    with (
        serving(lambda request: reply_json({"rows": [], "more": True})) as web,
        pytest.raises(ConnectorError, match="more than 20 pages in a row are empty"),
    ):
        pull(connection_to(web.url), options)


def test_page_number_in_path():
    def respond(request: Request) -> Reply:
        page = int(request.path.rpartition("/")[2])
        return reply_json(rows(page) if page < 3 else [])

    with serving(respond) as web:
        pages = pull(connection_to(web.url), {"path": "/orders/pages/{page}", "pagination": {"type": "page"}})

    assert records_of(pages) == [1, 2]
    assert [request.query for request in web.requests] == [{}, {}, {}]


def test_offset_and_size_in_parameters_and_headers():
    def respond(request: Request) -> Reply:
        start = int(request.query["range"].partition("-")[0])
        return reply_json(rows(start, start + 1) if start < 4 else rows(start))

    options = {
        "page_size": 2,
        "params": {"range": "{offset}-{size}"},
        "headers": {"X-Run": "{run}"},
        "pagination": {"type": "offset"},
    }
    with serving(respond) as web:
        pages = pull(connection_to(web.url), options, make_context(run_id=7))

    assert records_of(pages) == [0, 1, 2, 3, 4]
    assert web.requests[1].query == {"range": "2-2"}
    assert web.requests[1].headers["x-run"] == "7"


def test_parameter_without_value_is_left_out():
    def respond(request: Request) -> Reply:
        return reply_json({"rows": rows(len(request.query)), "next": None if request.query else "a b/ä"})

    options = {
        "records": "rows",
        "params": {"after": "id>{cursor}"},
        "pagination": {"type": "cursor", "cursor": "next"},
    }
    with serving(respond) as web:
        pull(connection_to(web.url), options)

    assert [request.query for request in web.requests] == [{}, {"after": "id>a b/ä"}]


@pytest.mark.parametrize("cursor", ["..", "."])
def test_cursor_that_leads_to_another_path_is_rejected(cursor):
    options = {
        "path": "/a/{cursor}",
        "records": "rows",
        "pagination": {"type": "cursor", "cursor": "next"},
    }
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": cursor})) as web,
        pytest.raises(ConnectorError, match="would lead to another path"),
    ):
        pull(connection_to(web.url), options)


@pytest.mark.parametrize("path", ["/orders", "/orders/{cursor}"])
def test_cursor_with_half_of_a_surrogate_pair_is_rejected(path):
    options = {"path": path, "records": "rows", "pagination": {"type": "cursor", "cursor": "next"}}
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": "a\ud800"})) as web,
        pytest.raises(ConnectorError, match="half of a surrogate pair"),
    ):
        pull(connection_to(web.url), options)

    assert len(web.requests) == 1


def test_cursor_with_line_break_in_header_is_rejected():
    options = {
        "headers": {"X-After": "{cursor}"},
        "records": "rows",
        "pagination": {"type": "cursor", "cursor": "next"},
    }
    with (
        serving(lambda request: reply_json({"rows": rows(1), "next": "a\r\nX-Evil: 1"})) as web,
        pytest.raises(ConnectorError, match="The header X-After cannot be sent"),
    ):
        pull(connection_to(web.url), options)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": "/a/{cursr}"}, "path"),
        ({"params": {"after": "{cursr}"}}, "params.after"),
        ({"headers": {"X-After": "{cursr}"}}, "headers.X-After"),
    ],
)
def test_unknown_placeholder_is_reported_at_its_key(options, key):
    with pytest.raises(ValidationError) as caught:
        read_source("http", options)

    assert list(caught.value.message_dict) == [key]
    assert "Unknown placeholder “{cursr}”" in caught.value.message_dict[key][0]


def test_cursor_needs_one_place():
    for pagination, message in [
        ({"type": "cursor"}, "Required."),
        ({"type": "cursor", "cursor": "a", "cursor_header": "X-A"}, "remove one of the two"),
    ]:
        with pytest.raises(ValidationError) as caught:
            read_source("http", {"pagination": pagination})

        assert list(caught.value.message_dict) == ["pagination.cursor"]
        assert message in caught.value.message_dict["pagination.cursor"][0]

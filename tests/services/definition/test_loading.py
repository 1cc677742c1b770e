"""Loading services from YAML: idempotent, all or nothing; each error has line, key and reason."""

import io
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from apps.services.definition.loading import LoadError, LoadResult, load_services
from apps.services.definition.options import read_source
from apps.services.models import Connection, Script, Service
from tests.openssh import create_key

pytestmark = pytest.mark.django_db

EXAMPLE = """\
connections:
  shop:      {kind: http, base_url: "http://127.0.0.1:3000", auth: {type: bearer, secret_env: SHOP_TOKEN}}
  warehouse: {kind: http, base_url: "http://127.0.0.1:3001"}       # auth: none | bearer | basic | header
  drop:      {kind: file, url: "file:///srv/drop"}                 # any fsspec URL: s3://, sftp://, file://
services:
  orders-to-warehouse:
    name: Orders to warehouse
    source:      {connection: shop, path: /orders, records: "@", page_size: 100,
                  pagination: {type: page, page_param: _page, size_param: _limit, first: 1}}
    script: |
      def transform(records):
          log("got %d" % len(records))
          return [{"sku": r["id"], "qty": r["quantity"]} for r in records]
    destination: {connection: warehouse, method: POST, path: /stock, batch_size: 1}
    schedule: "*/15 * * * *"          # cron, in `timezone`
    timezone: Europe/London
    max_attempts: 3
    timeout_seconds: 3600
    is_active: true
  nightly-files:
    source:      {connection: drop, path: "in/*.json", format: json}          # json | ndjson | csv
    destination: {connection: drop, path: "out/{run}-{page}.ndjson", format: ndjson}
"""
ORDERS = "services.orders-to-warehouse"
LABELS = (
    "connection shop",
    "connection warehouse",
    "connection drop",
    "service orders-to-warehouse",
    "service nightly-files",
)


def test_example_file_is_loaded():
    assert load_services(EXAMPLE) == LoadResult(created=LABELS)

    orders = Service.objects.get(slug="orders-to-warehouse")
    script = orders.current_script()
    assert (orders.name, orders.schedule, orders.timezone) == (
        "Orders to warehouse",
        "*/15 * * * *",
        "Europe/London",
    )
    assert (orders.source_connection.name, orders.destination_connection.name) == ("shop", "warehouse")
    assert (orders.source_connection.auth, orders.source_connection.secret_env) == ("bearer", "SHOP_TOKEN")
    assert script is not None
    assert script.source.startswith("def transform(records):\n")
    assert orders.next_run_at is not None
    assert read_source("http", orders.source_options)
    files = Service.objects.get(slug="nightly-files")
    assert (files.name, files.next_run_at, files.current_script()) == ("Nightly files", None, None)


def test_loading_again_changes_nothing():
    load_services(EXAMPLE)
    before = list(Service.objects.values()), list(Connection.objects.values()), list(Script.objects.values())

    assert load_services(EXAMPLE) == LoadResult(unchanged=LABELS)
    assert before == (
        list(Service.objects.values()),
        list(Connection.objects.values()),
        list(Script.objects.values()),
    )


def test_changed_entries_are_updated():
    load_services(EXAMPLE)
    before = Service.objects.get(slug="orders-to-warehouse").next_run_at

    result = load_services(
        EXAMPLE.replace("*/15 * * * *", "0 4 1 1 *").replace("3001", "3002").replace("return [", "return  [")
    )

    assert result.updated == ("connection warehouse", "service orders-to-warehouse")
    orders = Service.objects.get(slug="orders-to-warehouse")
    assert orders.next_run_at != before
    assert [script.version for script in orders.scripts.order_by("version")] == [1, 2]


def test_removed_script_counts_as_an_update():
    load_services(EXAMPLE)
    start, end = EXAMPLE.index("    script: |"), EXAMPLE.index("    destination: {connection: warehouse")

    result = load_services(EXAMPLE[:start] + EXAMPLE[end:])

    assert result.updated == ("service orders-to-warehouse",)
    assert Service.objects.get(slug="orders-to-warehouse").current_script() is None


def test_service_that_staff_paused_stays_paused():
    text = EXAMPLE.replace("    is_active: true\n", "")
    load_services(text)
    Service.objects.filter(slug="orders-to-warehouse").update(is_active=False)

    assert load_services(text).updated == ()
    assert not Service.objects.get(slug="orders-to-warehouse").is_active


def test_secret_in_file_is_encrypted_and_updated():
    text = (
        "connections: {shop: {kind: http, url: 'http://h', auth: {type: basic, username: me, secret: one}}}"
    )

    load_services(text)
    first = Connection.objects.get()
    again = load_services(text)
    changed = load_services(text.replace("one", "two"))

    assert (first.auth_username, first.get_secret()) == ("me", "one")
    assert "one" not in first.secret_encrypted
    assert (again.unchanged, changed.updated) == (("connection shop",), ("connection shop",))
    assert Connection.objects.get().get_secret() == "two"


@pytest.mark.parametrize("secret", ["12345678", "[hunter22]", "{a: hunter22}", "hunter22: x"])
@pytest.mark.parametrize("key", ["secret", "refresh_token"])
def test_error_of_a_secret_does_not_contain_it(key, secret):
    auth = f"{{type: oauth2, grant: refresh_token, token_url: 'http://a/t', client_id: me, {key}: {secret}}}"

    with pytest.raises(LoadError) as caught:
        load_services(f"connections:\n  crm: {{kind: http, base_url: 'http://a', auth: {auth}}}\n")

    assert "12345678" not in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_private_key_with_passphrase_is_loaded_and_stays_unchanged(tmp_path):
    create_key(tmp_path / "key", passphrase="open sesame")
    key = (tmp_path / "key").read_text()
    auth = {"type": "key", "username": "me", "secret": key, "passphrase": "open sesame"}
    text = yaml.safe_dump({"connections": {"drop": {"kind": "file", "url": "sftp://host/in", "auth": auth}}})

    load_services(text)
    connection = Connection.objects.get()
    again = load_services(text)

    assert (connection.get_secret(), connection.get_passphrase()) == (key, "open sesame")
    assert again.unchanged == ("connection drop",)
    with pytest.raises(LoadError) as caught:
        load_services(text.replace("open sesame", "wrong"))
    assert (caught.value.key, caught.value.reason) == (
        "connections.drop.auth.passphrase",
        "The passphrase does not fit the private key; enter it again.",
    )


def test_oauth_connection_is_loaded_with_encrypted_secrets():
    text = (
        "connections: {crm: {kind: http, url: 'http://h', auth: {type: oauth2, grant: refresh_token, scope: read, "
        "token_url: 'http://h/token?p=1', client_id: me, secret: one-secret, refresh_token: one-token}}}"
    )

    load_services(text)
    first = Connection.objects.get()
    again = load_services(text)
    kept = load_services(text.replace(", refresh_token: one-token", "").replace("secret: one-secret, ", ""))
    load_services(text.replace("grant: refresh_token, ", "").replace(", refresh_token: one-token", ""))

    assert (first.auth_token_url, first.auth_client_id, first.auth_scope) == (
        "http://h/token?p=1",
        "me",
        "read",
    )
    assert (first.get_secret(), first.get_refresh_token()) == ("one-secret", "one-token")
    assert "one-" not in first.secret_encrypted + first.refresh_token_encrypted
    assert again.unchanged == kept.unchanged == ("connection crm",)
    assert Connection.objects.get().refresh_token_encrypted == ""


def test_secret_entered_in_the_admin_is_not_overwritten():
    text = "connections: {shop: {kind: http, url: 'http://h', auth: {type: header, header: X-Key}}}"
    connection = Connection(name="shop", kind="http", url="http://old", auth="header", auth_header="X-Key")
    connection.set_secret("entered")
    connection.save()

    load_services(text)

    assert Connection.objects.get().get_secret() == "entered"


def test_services_can_use_existing_connections():
    load_services(EXAMPLE)

    result = load_services(EXAMPLE[EXAMPLE.index("services:") :])

    assert result.unchanged == LABELS[3:]


@pytest.mark.parametrize(
    ("more", "reason"),
    [("grant: refresh_token", "Required; enter"), ("refresh_token: x", "refresh_token only")],
)
def test_refresh_token_and_its_grant_belong_together(more, reason):
    text = (
        "connections: {crm: {kind: http, url: 'http://h', auth: {type: oauth2, token_url: 'http://h/token', "
        f"client_id: me, secret: x, {more}}}}}}}"
    )

    with pytest.raises(LoadError, match=reason) as caught:
        load_services(text)

    assert caught.value.key == "connections.crm.auth.refresh_token"


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "reason"),
    [
        ("kind: file", "kind: carrier-pigeon", 4, "connections.drop.kind", "Allowed: http, file."),
        ("secret_env: SHOP_TOKEN", "secrets: x", 2, "connections.shop.auth.secrets", "Allowed: secret, secret_env"),
        ("type: bearer", "type: oauth", 2, "connections.shop.auth.type", "Allowed: none, bearer, basic, header"),
        (", secret_env: SHOP_TOKEN", "", 2, "connections.shop.auth.secret", "Required; enter the secret"),
        ("bearer", "basic", 2, "connections.shop.auth.username", "Required."),
        ("bearer", "header, header: X Y", 2, "connections.shop.auth.header", "Invalid header name"),
        ("bearer", "oauth2, client_id: me", 2, "connections.shop.auth.token_url", "Required."),
        ("bearer", "oauth2, token_url: 'http://t'", 2, "connections.shop.auth.client_id", "Required."),
        ("bearer", "oauth2, token_url: 'file:///t'", 2, "connections.shop.auth.token_url", "no valid scheme"),
        ("bearer", "oauth2, grant: implicit", 2, "connections.shop.auth.grant", "Allowed: client_credentials"),
        ("bearer", "query", 2, "connections.shop.auth.query", "Required."),
        ("bearer", "query, query: 'a=b'", 2, "connections.shop.auth.query", "Invalid parameter name"),
        ("SHOP_TOKEN", "SHOP-TOKEN", 2, "connections.shop.auth.secret_env", "Invalid variable name"),
        ("3001\"", "1\", proxy: 'http://me:pw@p:1'", 3, "connections.warehouse.proxy", "Credentials are not supported"),
        ("3001\"", "1\", proxy: 'socks5://p:1'", 3, "connections.warehouse.proxy", "no valid scheme"),
        ("3001\"", "1\", proxy: 'http://p:1/x'", 3, "connections.warehouse.proxy", "A proxy has no path"),
        ("3001\"", "1\", ca_file: ca.pem", 3, "connections.warehouse.ca_file", "Not an absolute path"),
        ("3001\"", "1\", client_cert_file: me.pem", 3, "connections.warehouse.client_cert_file", "absolute path"),
        ("3001\"", "1\", requests_per_minute: 0", 3, "connections.warehouse.requests_per_minute", "from 1 to 60000"),
        ("3001\"", "1\", requests_per_minute: -5", 3, "connections.warehouse.requests_per_minute", "from 1 to 60000"),
        ("http://127.0.0.1:3001", "ftp://127.0.0.1", 3, "connections.warehouse.base_url", "has no valid scheme"),
        ("file:///srv/drop", "simplecache::file:///srv", 4, "connections.drop.url", "has no valid scheme"),
        ("file:///srv/drop", "file:///srv/../etc", 4, "connections.drop.url", "“..” is not allowed"),
        ("  warehouse:", "  ware house:", 3, "connections.ware house", "letters, numbers, underscores or hyphens"),
        ("max_attempts: 3", "max_attempt: 3", 17, f"{ORDERS}.max_attempt", "Unknown option"),
        ("max_attempts: 3", "max_attempts: 0", 17, f"{ORDERS}.max_attempts", "from 1 to 20"),
        ("*/15 * * * *", "*/15 * * *", 15, f"{ORDERS}.schedule", "does not have five fields"),
        ("*/15 * * * *", "61 * * * *", 15, f"{ORDERS}.schedule", "not a valid cron expression"),
        ("*/15 * * * *", "0 0 30 2 *", 15, f"{ORDERS}.schedule", "not a valid cron expression"),
        ("Europe/London", "Europe/Atlantis", 16, f"{ORDERS}.timezone", "Unknown time zone"),
        ("is_active: true", "is_active: perhaps", 19, f"{ORDERS}.is_active", "write true or false"),
        ("is_active: true", "overlap: pile-up", 19, f"{ORDERS}.overlap", "Allowed: skip, queue, allow"),
        ("is_active: true", "retry_limit: 21", 19, f"{ORDERS}.retry_limit", "from 0 to 20"),
        ("is_active: true", "pause_after_failures: -1", 19, f"{ORDERS}.pause_after_failures", "from 0 to 1000"),
        ("is_active: true", "capture_on_failure: 2", 19, f"{ORDERS}.capture_on_failure", "write true or false"),
        ("is_active: true", "log_retention_days: 0", 19, f"{ORDERS}.log_retention_days", "from 1 to 36600"),
        ("is_active: true", "kind: odd", 19, f"{ORDERS}.kind", "Allowed: integration, reported"),
        ("is_active: true", "kind: reported", 8, f"{ORDERS}.source", "Unknown option. Allowed:"),
        ("def transform", "def transmute", 10, f"{ORDERS}.script", "transform"),
        ("log(", "log((", 10, f"{ORDERS}.script", "Parse error"),
        ("connection: shop", "connection: shoop", 8, f"{ORDERS}.source.connection", "Allowed: drop, shop"),
        ("type: page", "type: pages", 9, f"{ORDERS}.source.pagination.type", "is not valid. Allowed:"),
        ('records: "@"', 'records: "@["', 8, f"{ORDERS}.source.records", "is not a JMESPath expression"),
        ("in/*.json", "../in/*.json", 21, "services.nightly-files.source.path", "would leave"),
        ("{run}-{page}", "{date}", 22, "services.nightly-files.destination.path", "Allowed: {run}, {page}"),
        ("  nightly-files:", "  orders-to-warehouse:", 20, ORDERS, "Duplicate key; first on line 6"),
        ("services:", "service:", 5, "service", "Allowed: connections, channels, rules, services"),
        ("is_active: true", "is_active: !!python/object:os.system x", 19, "", "could not determine a constructor"),
        ("is_active: true", "is_active: [", 21, "", "expected"),
        ("is_active: true", "is_active: 2024-13-45", 19, f"{ORDERS}.is_active", "write true or false"),
    ],
)  # fmt: skip
def test_error_is_reported_with_line_key_and_reason_and_nothing_is_loaded(old, new, line, key, reason):
    with pytest.raises(LoadError) as caught:
        load_services(EXAMPLE.replace(old, new, 1), filename="shop.yaml")

    assert (caught.value.line, caught.value.key) == (line, key)
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"shop.yaml, line {line}")
    assert (Connection.objects.count(), Service.objects.count()) == (0, 0)


def test_all_errors_are_reported_at_once():
    with pytest.raises(LoadError) as caught:
        load_services(EXAMPLE.replace("max_attempts: 3", "attempts: 3").replace("kind: file", "kind: tape"))

    assert [problem.line for problem in caught.value.problems] == [4, 17, 21, 22]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "just text",
        "connections: []",
        "connections: {shop: http}",
        "services: {orders: {}}",
        "a: 1\n---\nb: 2",
        "connections: {shop: {kind: http, url: \x00}}",
        "a: &a [*a]",
        "[" * 5000,
        "{? {a: b} : c}",
        "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]",
    ],
)
def test_invalid_document_is_rejected(text):
    with pytest.raises(LoadError):
        load_services(text)


def test_numbers_of_parameters_keep_their_spelling() -> None:
    load_services(
        "connections: {shop: {kind: http, base_url: 'http://127.0.0.1:3000'}}\n"
        "services:\n"
        "  orders:\n"
        "    source: {connection: shop, path: /orders, params: {version: 1.10, shop: 0123, day: 2026-01-01},\n"
        "             method: POST, body: {params: {limit: 5}, headers: {x: 1.5}}}\n"
        "    destination: {connection: shop, path: /stock}\n"
    )
    options = Service.objects.get().source_options
    assert options["params"] == {"version": "1.10", "shop": "0123", "day": "2026-01-01"}
    assert options["body"] == {"params": {"limit": 5}, "headers": {"x": 1.5}}


def test_command_reports_each_entry_and_describes_the_schedule(tmp_path: Path):
    path = tmp_path / "services.yaml"
    path.write_text(EXAMPLE)
    output = io.StringIO()

    call_command("load_services", str(path), stdout=output)

    assert output.getvalue().splitlines() == [
        "connection shop: created",
        "connection warehouse: created",
        "connection drop: created",
        "service orders-to-warehouse: created, runs every 15 minutes (Europe/London)",
        "service nightly-files: created, without a schedule",
    ]


def test_command_loads_all_files_or_none(tmp_path: Path):
    (tmp_path / "good.yaml").write_text(EXAMPLE)
    (tmp_path / "bad.yaml").write_text("services:\n  orders: {nam: x}\n")

    with pytest.raises(CommandError, match=r"Nothing was loaded\.\n.*bad\.yaml, line 2, services\.orders"):
        call_command("load_services", str(tmp_path / "good.yaml"), str(tmp_path / "bad.yaml"))

    assert Service.objects.count() == 0


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_command_reports_unreadable_file(tmp_path: Path, content):
    path = tmp_path / "services.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CommandError, match=r"services\.yaml cannot be read"):
        call_command("load_services", str(path))

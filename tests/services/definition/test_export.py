"""Export as YAML: loading it gives the same services, and it contains no secret."""

import io
from pathlib import Path
from string import Template

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.services.definition.export import export_services
from apps.services.definition.loading import LoadError, load_services
from apps.services.definition.services import SERVICES
from apps.services.definition.yaml_document import YamlDocument
from apps.services.definition.yaml_text import yaml_text
from apps.services.models import Connection, Script, Service
from tests.documents import ROOT, code_blocks
from tests.factories import make_connection, make_service
from tests.services.definition.test_loading import EXAMPLE

DEMO = Template((ROOT / "apps" / "demo" / "services.yaml").read_text()).safe_substitute(
    source_url="http://127.0.0.1:3000", destination_url="http://127.0.0.1:3001"
)
FULL = """\
connections:
  crm:   {kind: http, base_url: "https://crm.example/api", requests_per_minute: 120, proxy: "http://proxy:3128",
          ca_file: /etc/ca.pem, client_cert_file: /etc/me.pem, connect_timeout: 7, read_timeout: 0.5,
          auth: {type: oauth2, grant: refresh_token, token_url: "https://crm.example/token", client_id: me,
                 secret_env: CRM_SECRET, scope: "read", refresh_token_env: CRM_REFRESH}}
  bank:  {kind: file, url: "sftp://bank.example/out",
          auth: {type: key, username: acme, secret_env: BANK_KEY, passphrase_env: BANK_PASSPHRASE}}
services:
  contacts:
    name: "Kontakte: täglich #1 😀"
    source:
      connection: crm
      path: /contacts
      method: POST
      body:
        {query: "{ a }\\n{ b }\\n", on: "yes", no: "null", params: {n: 1, x: 2.50},
         variables: {after: "{cursor}", n: [1, 2.5, 1e400, null]}}
      params: {updated_since: "{since}", day: "2026-01-01", limit: 5}
      headers: {X-Version: "010"}
      since: {first: "2026-01-01T00:00:00Z", from: updated_at, overlap_seconds: 300}
      pagination: {type: cursor, cursor_header: X-Next, has_more: meta.has_more, end_status: [404]}
      fail_if: "success == `false`"
      retry_status: [500]
    script: "# tab\\tand space \\n\\n   \\ndef transform(records):\\n    return records\\n\\n"
    destination:
      connection: crm
      method: PUT
      path: "/contacts/{id}"
      results: {path: items, accepted_if: "status < `300`", reason: error.message}
      accept_status: [409]
      skip_unchanged: true
    schedule: "*/15 * * * *"
    timezone: Europe/London
    overlap: queue
    max_attempts: 5
    timeout_seconds: 60
    retry_limit: 2
    pause_after_failures: 4
    capture_on_failure: true
    log_retention_days: 7
    record_retention_days: 3
    track_records: false
    is_active: false
  prices:
    source: {connection: bank, path: "in/*.csv.gz", csv: {delimiter: tab, skip_rows: 1}, after: {move_to: done/}}
    destination: {connection: bank, path: "out/{run}.json"}
  payroll: {kind: reported, name: "0123", log_retention_days: 9}
"""
HANDBOOK = code_blocks("yaml")


def export() -> str:
    return export_services(Service.objects.all())


def delete_everything() -> None:
    for model in (Script, Service, Connection):
        model.objects.all().delete()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [text for _name, text in HANDBOOK] + [EXAMPLE, DEMO, FULL],
    ids=[*dict(HANDBOOK), "contract", "demo", "full"],
)
def test_loading_an_export_gives_the_same_export(text: str, settings) -> None:
    settings.FILE_ROOTS = (Path("/srv"),)
    load_services(text)

    first = export()
    again = load_services(first)
    delete_everything()
    load_services(first)

    assert (again.created, again.updated) == ((), ())
    assert export() == first


@pytest.mark.django_db
def test_export_is_written_to_be_read() -> None:
    load_services(EXAMPLE)

    assert export() == EXPECTED


EXPECTED = """\
# Load this file with: ./manage.py load_services FILE.yaml
#
# Set these environment variables for the workers:
#   SHOP_TOKEN: secret of the connection shop

connections:
  drop:
    kind: file
    url: file:///srv/drop
  shop:
    kind: http
    base_url: http://127.0.0.1:3000
    auth:
      type: bearer
      secret_env: SHOP_TOKEN
  warehouse:
    kind: http
    base_url: http://127.0.0.1:3001

services:
  nightly-files:
    name: Nightly files
    source:
      connection: drop
      path: in/*.json
      format: json
    destination:
      connection: drop
      path: out/{run}-{page}.ndjson
      format: ndjson
  orders-to-warehouse:
    name: Orders to warehouse
    source:
      connection: shop
      path: /orders
      records: '@'
      page_size: 100
      pagination:
        type: page
        size_param: _limit
        page_param: _page
        first: 1
    script: |
      def transform(records):
          log("got %d" % len(records))
          return [{"sku": r["id"], "qty": r["quantity"]} for r in records]
    destination:
      connection: warehouse
      path: /stock
      method: POST
      batch_size: 1
    schedule: '*/15 * * * *'
    timezone: Europe/London
"""


@pytest.mark.django_db
def test_every_option_is_exported() -> None:
    load_services(FULL)

    services = YamlDocument(export()).value["services"]

    assert set(services["contacts"]) == SERVICES["integration"].model_fields.keys() - {"kind"}
    assert services["payroll"] == {"kind": "reported", "name": "0123", "log_retention_days": 9}


@pytest.mark.django_db
def test_numbers_of_older_rows_are_exported_as_they_are_sent() -> None:
    options = {"path": "/a", "params": {"limit": 5, "share": 1.5, "all": True}, "headers": {"X-Version": 2}}
    make_service(slug="orders", source_options=options)

    first = export()
    delete_everything()
    load_services(first)

    assert "limit: '5'" in first
    assert export() == first


@pytest.mark.django_db
def test_stored_secrets_are_omitted_and_listed() -> None:
    crm = make_connection(name="crm", auth="bearer", secret="s3cret-of-crm")
    bank = make_connection(
        name="bank", kind="file", url="sftp://bank", auth="key", auth_username="me", secret="k3y"
    )
    bank.set_passphrase("passphr4se")
    bank.save()
    service = make_service(slug="prices", source_connection=crm, destination_connection=bank, since="42")
    service.destination_options = {"path": "{run}.json"}
    service.save()
    service.groups.add(Group.objects.create(name="Finance"))

    text = export()

    comments = text.partition("\n\n")[0]
    assert [line for line in comments.splitlines() if line.startswith("#   ")] == [
        "#   connections.bank.auth.secret_env",
        "#   connections.bank.auth.passphrase_env",
        "#   connections.crm.auth.secret_env",
        "#   prices",
    ]
    for secret in ("s3cret", "k3y", "passphr4se", "gAAAA", "42", "Finance"):
        assert secret not in text
    assert load_services(text).updated == ()
    crm.refresh_from_db()
    assert crm.get_secret() == "s3cret-of-crm"

    delete_everything()
    with pytest.raises(LoadError) as caught:
        load_services(text)
    assert [(problem.key, problem.reason) for problem in caught.value.problems[:2]] == [
        ("connections.bank.auth.secret", REQUIRED),
        ("connections.crm.auth.secret", REQUIRED),
    ]
    named = text.replace("type: bearer", "type: bearer\n      secret_env: CRM")
    named = named.replace("type: key", "type: key\n      secret_env: BANK")
    assert load_services(named).created == ("connection bank", "connection crm", "service prices")


REQUIRED = "Required; enter the secret, or name the environment variable that contains it."


@pytest.mark.django_db
def test_command_prints_named_services_or_all() -> None:
    make_service(slug="orders")
    make_service(slug="prices")

    def printed(*slugs: str) -> str:
        output = io.StringIO()
        call_command("export_services", *slugs, stdout=output)
        return output.getvalue()

    assert printed() == export()
    assert printed("orders") == export_services(Service.objects.filter(slug="orders"))
    with pytest.raises(CommandError, match=r"^Unknown service: nothing, other\. "):
        printed("orders", "other", "nothing")


TEXTS = st.text(
    st.sampled_from("ab01 \n\n\t\r#:-'\"\\%@*&!|>{}[],?\x85\u2028é漢😀\ufeff\x00\x1b~."), max_size=20
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.dictionaries(TEXTS, VALUES, max_size=3))
def test_yaml_text_is_read_back_unchanged(value: dict[str, object]) -> None:
    document = YamlDocument(yaml_text({"services": value}))

    assert (document.problems, document.value) == ([], {"services": value})

"""Channels in YAML: loading, errors with their line, export without secrets, JSON Schema; and the test command."""

import io

import jsonschema
import pytest
from django.core.management import CommandError, call_command

from apps.alerts.models import Channel, Delivery
from apps.services.definition.export import export_services
from apps.services.definition.loading import LoadError, load_services
from apps.services.definition.schema import service_file_schema
from apps.services.definition.yaml_document import YamlDocument
from apps.services.models import Service
from tests.factories import make_channel
from tests.receivers import mail_server

pytestmark = pytest.mark.django_db

CHANNELS = """\
channels:
  ops-mail: {kind: email, to: [ops@example.com]}
  ops-chat: {kind: apprise, url_env: OPS_CHAT_URL}
  pager:    {kind: webhook, url: "https://pager.example/in", secret_env: PAGER_SECRET}
"""


def test_channels_are_loaded_and_exported_unchanged():
    assert load_services(CHANNELS).created == ("channel ops-mail", "channel ops-chat", "channel pager")
    assert len(load_services(CHANNELS).unchanged) == 3

    exported = export_services(Service.objects.all(), with_sections=True)

    assert YamlDocument(exported).value["channels"] == YamlDocument(CHANNELS).value["channels"]
    jsonschema.validate(YamlDocument(CHANNELS).value, service_file_schema())


def test_stored_secret_is_kept_and_not_exported():
    make_channel(name="pager", kind="webhook", url="https://pager.example/in", secret="whsec_" + "a" * 32)
    text = (
        "channels: {pager: {kind: webhook, url: 'https://pager.example/v2', language: de, is_active: false}}"
    )

    assert load_services(text).updated == ("channel pager",)

    channel = Channel.objects.get()
    assert (channel.get_secret(), channel.url) == ("whsec_" + "a" * 32, "https://pager.example/v2")
    exported = export_services(Service.objects.all(), with_sections=True)
    assert "whsec_" not in exported
    assert YamlDocument(exported).value["channels"] == YamlDocument(text).value["channels"]


def test_secret_in_the_url_of_a_webhook_is_masked_in_the_export_and_kept_by_loading_it():
    url = "https://pager.example/in/v2/8fA2kX9mQ4tZ7wLp?team=ops&token=s3cr3t"
    make_channel(name="pager", kind="webhook", url=url, secret_env="PAGER_SECRET")

    exported = export_services(Service.objects.all(), with_sections=True)

    pager = YamlDocument(exported).value["channels"]["pager"]
    assert pager["url"] == "https://pager.example/in/v2/••••?team=ops&token=••••"
    assert load_services(exported).unchanged == ("channel pager",)
    assert load_services(exported.replace("kind: webhook", "kind: webhook\n    language: de")).updated == (
        "channel pager",
    )
    assert Channel.objects.get().url == url


def test_masked_secret_in_the_url_of_a_new_webhook_is_refused():
    text = "channels: {pager: {kind: webhook, url: 'https://pager.example/in?token=••••', secret_env: PAGER_SECRET}}"

    with pytest.raises(LoadError, match="A secret in the URL is masked; replace •••• by it"):
        load_services(text)


def test_export_lists_the_secrets_of_channels():
    make_channel(name="chat", kind="apprise", secret="slack://token")
    make_channel(name="other-chat", kind="apprise", secret_env="CHAT_URL")
    make_channel(
        name="pager", kind="webhook", url="https://pager.example/in?key=1", secret="whsec_" + "a" * 32
    )

    comments = export_services(Service.objects.all(), with_sections=True).partition("\nchannels:")[0]

    listed = [line.removeprefix("#   ") for line in comments.splitlines() if line.startswith("#   ")]
    assert listed == [
        "CHAT_URL: secret of the channel other-chat",
        "channels.chat.url_env",
        "channels.pager.secret_env",
        "channels.pager.url",
    ]


@pytest.mark.parametrize(
    ("entry", "key", "reason"),
    [
        ("{kind: pigeon}", "kind", "email, apprise, webhook"),
        ("{kind: email}", "to", "Required"),
        ("{kind: email, to: []}", "to", "from 1 to 100"),
        ("{kind: email, to: [nobody]}", "to", "not a mail address"),
        ('{kind: email, to: ["a@example.com\\nBcc: b@example.com"]}', "to", "control characters"),
        ("{kind: email, to: [a@example.com], secret: x}", "secret", "Unknown option"),
        ("{kind: apprise}", "url", "Required"),
        ("{kind: apprise, url: 'nosuch://x'}", "url", "knows no scheme"),
        ("{kind: apprise, url: 'syslog://'}", "url", "notifies only the host"),
        ("{kind: webhook, url: 'https://pager.example'}", "secret", "Required"),
        ("{kind: webhook, url: 'ftp://pager.example', secret_env: A}", "url", "no valid scheme"),
        ("{kind: webhook, url: 'http://169.254.169.254/', secret_env: A}", "url", "no connection may use it"),
        ("{kind: webhook, url: 'http://[fd00:ec2::254]/', secret_env: A}", "url", "no connection may use it"),
        ("{kind: webhook, url: 'https://pager.example', secret: short}", "secret", "openssl rand"),
        ("{kind: email, to: [a@example.com], language: fr}", "language", "en, de"),
    ],
)
def test_invalid_channel_names_its_line_and_key(entry, key, reason):
    with pytest.raises(LoadError) as failure:
        load_services(f"channels:\n  ops: {entry}\n")

    assert failure.value.line == 2
    assert failure.value.key.startswith(f"channels.ops.{key}")
    assert reason in failure.value.reason
    assert not Channel.objects.exists()


def test_command_tests_a_channel(settings):
    make_channel(name="ops")

    with mail_server() as server:
        settings.MAILERS = server.mailers
        output = io.StringIO()
        call_command("test_channel", "ops", stdout=output)
        assert "ops has accepted the message" in output.getvalue()
        server.refused = {"ops@example.com": "550 No such user"}
        with pytest.raises(CommandError, match=r"Not delivered\. .*550 No such user"):
            call_command("test_channel", "ops")

    assert [delivery.status for delivery in Delivery.objects.order_by("pk")] == ["sent", "failed"]
    with pytest.raises(CommandError, match=r"Unknown channel 'nowhere'\. Allowed: "):
        call_command("test_channel", "nowhere")

"""Invalid settings fail with one line that names the setting; make names the required Python version."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.broker import caches

ROOT = Path(__file__).resolve().parent.parent

INVALID_SETTINGS = {
    "port": ("PORT", "abc", "not a number"),
    "port out of range": ("PORT", "70000", "from 1 to 65535"),
    "database of another kind": (
        "DATABASE_URL",
        "mysql://user@localhost/synclog",
        "must begin with sqlite://",
    ),
    "invalid database URL": ("DATABASE_URL", "nonsense", "database URL"),
    "retention": ("PAYLOAD_RETENTION_HOURS", "x", "not a number"),
    "negative retention": ("PAYLOAD_RETENTION_HOURS", "-1", "from 0 to"),
    "log retention": ("LOG_RETENTION_DAYS", "forever", "not a number"),
    "bucket encryption": ("AWS_S3_SSE", "yes", "AES256, aws:kms"),
    "key without an encryption": ("AWS_S3_KMS_KEY_ID", "alias/payloads", "set both or neither"),
    "download mode": ("PAYLOAD_DOWNLOAD", "direct", "stream, redirect"),
    "capture size": ("SYNCLOG_CAPTURE_MIB", "0", "from 1 to"),
    "origin without a scheme": ("DJANGO_CSRF_TRUSTED_ORIGINS", "foo.example", "https://foo.example"),
    "debug": ("DJANGO_DEBUG", "maybe", "write 1 or 0"),
    "broker": ("CELERY_BROKER_URL", "http://localhost", "redis://"),
    "relative root of files": ("SYNCLOG_FILE_ROOTS", "files", "absolute paths"),
    "mail server of another kind": (
        "EMAIL_URL",
        "imap://user:hunter2@mail.example",
        "must begin with smtp://",
    ),
    "mail server without a host": ("EMAIL_URL", "smtp://", "host and a port"),
    "mail server with an invalid port": ("EMAIL_URL", "smtp://mail.example:x", "not a valid URL"),
    "mail server with an unknown option": ("EMAIL_URL", "smtp://mail.example?ssl=1", "unknown options"),
    "relative folder of mails": ("EMAIL_URL", "file:mail", "absolute path"),
    "sender": ("DEFAULT_FROM_EMAIL", "nobody", "Synclog <synclog@example.com>"),
    "sender with another header": ("DEFAULT_FROM_EMAIL", "a@example.com\nBcc: b@example.com", "invalid"),
    "address for links": ("SYNCLOG_BASE_URL", "synclog.example", "https://synclog.example"),
    "missing file with a secret": (
        "EMAIL_URL_FILE",
        "/nowhere/email_url",
        "cannot be read: No such file or directory",
    ),
    "empty file with a secret": ("DATABASE_PASSWORD_FILE", "/dev/null", "is empty"),
    "data directory that is a file": ("SYNCLOG_DATA_DIR", __file__, "cannot be created"),
    "data directory below a file": ("SYNCLOG_DATA_DIR", f"{__file__}/data", "cannot be created"),
}


def manage(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SYNCLOG_DATA_DIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_processes_started_together_share_secret_key_and_broker_files(tmp_path):
    code = (
        "import json; from config import settings; folder = settings.DATA_DIR / 'broker' / 'control';"
        "print(settings.SECRET_KEY, *[json.loads(file.read_text()) for file in sorted(folder.glob('*.exchange'))])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "SYNCLOG_DATA_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _number in range(4)
    ]

    outputs = {process.communicate(timeout=60)[0] for process in started}

    [words] = [line.split() for line in outputs]
    assert len(words[0]) > 60
    assert words[1:] == ["[]", "[]", "[]"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "secret-key"]


def load_settings(monkeypatch, folder, **environment):
    for name, value in ({"SYNCLOG_DATA_DIR": str(folder)} | environment).items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "config" / "settings.py"))


@pytest.mark.parametrize(("name", "value", "message"), INVALID_SETTINGS.values(), ids=INVALID_SETTINGS.keys())
def test_invalid_setting_is_an_error_that_names_it(monkeypatch, tmp_path, name, value, message):
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(monkeypatch, tmp_path, **{name: value})

    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{name} ")
    assert message in line


def test_bucket_encryption_follows_the_setting(monkeypatch, tmp_path):
    kms = {"AWS_S3_SSE": "aws:kms", "AWS_S3_KMS_KEY_ID": "alias/payloads"}

    settings = load_settings(monkeypatch, tmp_path, AWS_STORAGE_BUCKET_NAME="b", **kms)

    assert settings["STORAGES"]["payloads"]["OPTIONS"]["object_parameters"] == {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/payloads",
    }


@pytest.mark.parametrize("command", [["check"], ["sync", "orders"]], ids=" ".join)
def test_every_command_reports_invalid_setting(tmp_path, command):
    ended = manage(tmp_path, *command, PORT="abc")

    assert ended.stderr.splitlines() == [
        "synclog: PORT is 'abc', which is not a number; write one from 1 to 65535."
    ]


def test_worker_reports_invalid_setting(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "config", "worker"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SYNCLOG_DATA_DIR": str(tmp_path), "PORT": "abc"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stderr.splitlines()[-1].startswith("synclog: PORT is 'abc'")
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere")
def test_unwritable_data_directory_is_reported(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o555)

    # Root can write everywhere, so the process runs without root's capabilities.
    without_capabilities = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*without_capabilities, sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SYNCLOG_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stderr.splitlines() == [
        f"synclog: SYNCLOG_DATA_DIR is {folder}, which is not writable for this user."
    ]


def test_default_settings_are_valid(tmp_path):
    ended = manage(tmp_path, "check", "--fail-level", "WARNING")

    assert ended.returncode == 0, ended.stderr


def test_database_connections_fail_soon_unless_the_url_says_otherwise(monkeypatch, tmp_path):
    url = "postgres://user@host/name?tcp_user_timeout=5000"

    options = load_settings(monkeypatch, tmp_path, DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"]

    assert (options["tcp_user_timeout"], options["connect_timeout"]) == (5000, 10)


def test_empty_setting_selects_the_default(monkeypatch, tmp_path):
    settings = load_settings(monkeypatch, tmp_path, PORT="", DATABASE_URL="", PAYLOAD_RETENTION_HOURS=" ")

    assert settings["PORT"] == 8000
    assert settings["DATABASES"]["default"]["NAME"] == str(tmp_path / "synclog.sqlite3")
    assert settings["PAYLOAD_RETENTION"] == timedelta(hours=24)


def test_any_setting_is_read_from_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    (tmp_path / "password").write_text("p@ss/word\n")

    settings = load_settings(
        monkeypatch,
        tmp_path,
        DJANGO_SECRET_KEY_FILE=str(tmp_path / "key"),
        DATABASE_URL="postgres://synclog@database/synclog",
        DATABASE_PASSWORD_FILE=str(tmp_path / "password"),
    )

    assert settings["SECRET_KEY"] == "from a file"
    assert settings["DATABASES"]["default"]["PASSWORD"] == "p@ss/word"


def test_setting_and_its_file_exclude_each_other(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from a file")

    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(
            monkeypatch, tmp_path, DJANGO_SECRET_KEY="key", DJANGO_SECRET_KEY_FILE=str(tmp_path / "key")
        )

    assert str(caught.value) == (
        "DJANGO_SECRET_KEY and DJANGO_SECRET_KEY_FILE are both set; set one of them."
    )


def test_two_passwords_of_the_database_are_an_error(monkeypatch, tmp_path):
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(
            monkeypatch,
            tmp_path,
            DATABASE_URL="postgres://synclog:in-the-url@database/synclog",
            DATABASE_PASSWORD="other",
        )

    assert str(caught.value) == (
        "DATABASE_PASSWORD is set, and DATABASE_URL contains a password; remove one of them."
    )


@pytest.fixture
def bare_machine(tmp_path):
    """A folder with the files that make reads, and a PATH with make's tools and without a suitable Python."""
    for name in ("Makefile", ".python-version", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "cat", "echo", "test", "touch", "dirname"):
        (tools / name).symlink_to(shutil.which(name))
    return tmp_path


def make(folder, *arguments):
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={"PATH": str(folder / "tools"), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_make_names_the_required_python(bare_machine):
    ended = make(bare_machine, "test")

    required = f"python{(ROOT / '.python-version').read_text().strip()}"
    assert f"needs Python 3.12 or newer, and .python-version asks for {required}" in ended.stderr
    assert "make PYTHON=/path/to/python test" in ended.stderr
    assert ended.returncode != 0
    assert not (bare_machine / ".venv").exists()


def test_make_rejects_an_old_python(bare_machine):
    old = bare_machine / "tools" / "python3"
    # Exit code 1 means that this Python is too old.
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    ended = make(bare_machine, "run")

    assert "Python 3.12 or newer" in ended.stderr
    assert ended.returncode != 0


def test_image_has_the_required_python():
    [version] = set(
        re.findall(r"^FROM python:(\d+\.\d+)\.\d+-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    )

    assert version == (ROOT / ".python-version").read_text().strip()


def test_ci_script_is_valid_and_executable():
    script = ROOT / ".ci" / "run"

    subprocess.run(["bash", "-n", str(script)], check=True)

    assert os.access(script, os.X_OK)
    assert "export CI=true" in script.read_text()


@pytest.mark.parametrize(
    ("broker_url", "location"),
    [
        ("filesystem://localhost", None),
        ("amqp://localhost", None),
        ("redis://:secret@redis:6379/1", "redis://:secret@redis:6379/1"),
        ("redis://first/0;redis://second/0", "redis://first/0"),
        ("rediss://redis/0?ssl_cert_reqs=CERT_NONE", "rediss://redis/0?ssl_cert_reqs=none"),
    ],
)
def test_cache_uses_redis_of_the_broker_or_memory(broker_url, location, tmp_path):
    options = caches(broker_url, tmp_path)["requests"]

    assert options.get("LOCATION") == (location and [location])
    assert ("RedisCache" in options["BACKEND"]) == (location is not None)

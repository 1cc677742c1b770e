"""Django's settings, all of them read from the environment; every default is the embedded mode.

A value that cannot be used stops the start with one line that names the variable, the reason and the way out.
"""

import logging
import os
import secrets
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as BotoConfig
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

BASE_DIR = Path(__file__).resolve().parent.parent


def _text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def _flag(name: str, *, default: bool) -> bool:
    value = _text(name, "1" if default else "0").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")


def _number(name: str, default: float, *, least: float, most: float) -> float:
    value = _text(name, str(default))
    try:
        number = float(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} is {value!r}, which is no number; write one from {least:g} to {most:g}."
        ) from None
    if not least <= number <= most:
        raise ImproperlyConfigured(f"{name} is {value}; write a number from {least:g} to {most:g}.")
    return number


def _whole(name: str, default: int, *, least: int, most: int) -> int:
    number = _number(name, default, least=least, most=most)
    if number != int(number):
        raise ImproperlyConfigured(f"{name} is {number}; write a whole number.")
    return int(number)


def _list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in _text(name, default).split(",") if item.strip()]


def _writable_folder(name: str, default: Path) -> Path:
    folder = Path(_text(name, str(default))).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} is {folder}, which cannot be made: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise ImproperlyConfigured(f"{name} is {folder}, where this user may not write.")
    return folder


def _absolute_folders(name: str, default: Path) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in _list(name, str(default))]
    for folder in folders:
        if not folder.is_absolute():
            raise ImproperlyConfigured(
                f"{name} names {str(folder)!r}; write absolute paths, parted by commas."
            )
    return [folder.resolve() for folder in folders]


def _database(name: str, default: str) -> dict[str, Any]:
    url = _text(name, default)
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(
            f"{name} cannot be read: {type(error).__name__}; write a database URL."
        ) from None
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            # Writers queue for up to 20 s, instead of failing when a read turns into a write.
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        # A file, because the threads of a run have connections of their own.
        database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    elif database["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            f"{name} names neither sqlite:// nor postgres://; Synclog runs on those two."
        )
    return database


def _secret_key(name: str) -> str:
    """The key from the environment, or the one that the first start left in the data directory."""
    if key := _text(name):
        return key
    return _shared_file(DATA_DIR / "secret-key", secrets.token_urlsafe(48))


def _shared_file(path: Path, text: str) -> str:
    """What stands in the file, which is `text` for the first of the processes that start at once.

    It appears at once with all of its text, so that nobody reads the beginning of it.
    """
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_text().strip()


def _one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; write one of {', '.join(filter(None, choices))}.")
    return value


def _s3_encryption() -> dict[str, str]:
    """What each upload asks of the server: to encrypt what it keeps."""
    kind = _one_of("AWS_S3_SSE", "", ("", "AES256", "aws:kms"))
    key = _text("AWS_S3_KMS_KEY_ID")
    if key and kind != "aws:kms":
        raise ImproperlyConfigured(
            "AWS_S3_KMS_KEY_ID is set, and AWS_S3_SSE is not aws:kms; set both or none."
        )
    return {name: value for name, value in (("ServerSideEncryption", kind), ("SSEKMSKeyId", key)) if value}


# --- Where things are kept -------------------------------------------------------------------------------

DATA_DIR = _writable_folder("SYNCLOG_DATA_DIR", BASE_DIR / "var")
SPOOL_DIR = DATA_DIR / "spool"
# The keys of SSH servers, as they were when each was first met.
KNOWN_HOSTS = DATA_DIR / "known_hosts"
# Where `file://` connections may read and write.
FILE_ROOTS = _absolute_folders("SYNCLOG_FILE_ROOTS", DATA_DIR)

DATABASES = {"default": _database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'synclog.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PAYLOAD_RETENTION = timedelta(hours=_number("PAYLOAD_RETENTION_HOURS", 24, least=0, most=24 * 366))
LOG_RETENTION = timedelta(days=_number("LOG_RETENTION_DAYS", 30, least=0, most=36600))

# Bytes of one payload; a larger one is not kept.
MAX_PAYLOAD_BYTES = _whole("SYNCLOG_MAX_PAYLOAD_MIB", 1024, least=1, most=10**6) * 1024 * 1024

_BUCKET = _text("AWS_STORAGE_BUCKET_NAME")
# The smallest that S3 takes, as long as the largest payload is no more than 10,000 of them, the most that it takes.
_S3_PART_BYTES = max(5 * 1024 * 1024, -(-MAX_PAYLOAD_BYTES // 10_000))
_S3_OPTIONS = {
    "bucket_name": _BUCKET,
    "endpoint_url": _text("AWS_S3_ENDPOINT_URL") or None,
    "region_name": _text("AWS_S3_REGION_NAME") or None,
    "access_key": _text("AWS_ACCESS_KEY_ID") or None,
    "secret_key": _text("AWS_SECRET_ACCESS_KEY") or None,
    "default_acl": None,
    "querystring_auth": True,
    "object_parameters": _s3_encryption(),
    # In parts, one after the other: an upload takes three of them in memory at the most, whatever its size.
    "transfer_config": TransferConfig(
        multipart_threshold=_S3_PART_BYTES, multipart_chunksize=_S3_PART_BYTES, use_threads=False
    ),
    "client_config": BotoConfig(
        signature_version="s3v4",
        # Servers other than AWS rarely have a host name for each bucket.
        s3={"addressing_style": "path" if _text("AWS_S3_ENDPOINT_URL") else "auto"},
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 3},
    ),
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "payloads": (
        {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": _S3_OPTIONS}
        if _BUCKET
        else {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": DATA_DIR / "payloads",
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        }
    ),
}
# How the API hands payloads out: itself, or by an address of the store's own that works for 60 s at the most.
PAYLOAD_DOWNLOAD = _one_of("PAYLOAD_DOWNLOAD", "stream", ("stream", "redirect"))

# --- Limits of a run --------------------------------------------------------------------------------------

# Bytes of one response or one JSON document that is held in memory.
MAX_RESPONSE_BYTES = _whole("SYNCLOG_MAX_RESPONSE_MIB", 64, least=1, most=4096) * 1024 * 1024
# Records that a destination may refuse before the run stops.
MAX_REFUSED_RECORDS = _whole("SYNCLOG_MAX_REFUSED_RECORDS", 100, least=0, most=10**9)
# Pages of one run; a source that never ends is stopped here at the latest.
MAX_PAGES = _whole("SYNCLOG_MAX_PAGES", 100_000, least=1, most=10**9)
# Lines and bytes of one log; of one that outgrows them head and tail are kept, and the middle is counted.
MAX_LOG_LINES = _whole("SYNCLOG_MAX_LOG_LINES", 2_000_000, least=100, most=10**9)
MAX_LOG_BYTES = _whole("SYNCLOG_MAX_LOG_MIB", 512, least=1, most=10**6) * 1024 * 1024
# Bytes on disk of the payloads that a run holds back until it is known whether they are needed.
CAPTURE_BYTES = _whole("SYNCLOG_CAPTURE_MIB", 256, least=1, most=10**6) * 1024 * 1024

# Seconds that runs may still take once their worker is told to stop; what takes longer is ended as lost.
GRACE_SECONDS = _whole("SYNCLOG_GRACE_SECONDS", 30, least=0, most=24 * 3600)

# --- Django -----------------------------------------------------------------------------------------------

DEBUG = _flag("DJANGO_DEBUG", default=False)
DEMO = _flag("SYNCLOG_DEMO", default=False)
PORT = _whole("PORT", 8000, least=1, most=65535)
SECRET_KEY = _secret_key("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = _list("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _list("DJANGO_CSRF_TRUSTED_ORIGINS")
for _origin in CSRF_TRUSTED_ORIGINS:
    if not _origin.startswith(("http://", "https://")):
        raise ImproperlyConfigured(
            f"DJANGO_CSRF_TRUSTED_ORIGINS names {_origin!r}; write it with its scheme, as in https://{_origin}."
        )

INSTALLED_APPS = [
    "apps.demo",
    "apps.console",  # Before the admin, so that its templates win.
    "apps.api",
    "apps.runs",
    "apps.services",
    "config.admin.SynclogAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "apps.console.zones.ReaderZone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = ["apps.services.permissions.PermissionsWithUser"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "apps" / "console" / "locale"]
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"

# --- Security ---------------------------------------------------------------------------------------------

SECURE_CSP = {
    "default-src": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Served over TLS by a proxy, as an https origin in DJANGO_CSRF_TRUSTED_ORIGINS says.
_BEHIND_TLS = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _BEHIND_TLS else None

# --- API --------------------------------------------------------------------------------------------------

# Requests a minute in one web process before it answers 429; 0 = any number.
API_TOKEN_RATE = _whole("SYNCLOG_API_TOKEN_RATE", 6000, least=0, most=10**9)
API_ADDRESS_RATE = _whole("SYNCLOG_API_ADDRESS_RATE", 30_000, least=0, most=10**9)
# The same for wrong tokens from one address.
API_FAILURE_RATE = _whole("SYNCLOG_API_FAILURE_RATE", 120, least=0, most=10**9)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.api.permissions.TokenHasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["apps.api.filters.ListFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.api.problems.problem_response",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Synclog",
    "DESCRIPTION": "Start integration services, follow their runs, read their logs, fetch their payloads.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "TAGS": [
        {"name": "services", "description": "What can run"},
        {"name": "runs", "description": "What happened, and what happens now"},
        {"name": "payloads", "description": "The files that passed through"},
        {"name": "metrics", "description": "What monitoring asks"},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "apps.runs.models.Run.Status",
        "RunTrigger": "apps.runs.models.Run.Trigger",
        "PayloadKind": "apps.runs.models.Payload.Kind",
        "PayloadStatus": "apps.api.serializers.PAYLOAD_STATES",
        "ReportedStatus": "apps.api.reported_lines.ENDS",
        "ServiceKind": "apps.services.models.Service.Kind",
        "LogLevel": "apps.api.serializers.LEVEL_NAMES",
        "LogStep": "apps.api.serializers.STEP_NAMES",
    },
}

# --- Celery -----------------------------------------------------------------------------------------------

_BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = _text("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_TASK_ACKS_LATE = True
if CELERY_BROKER_URL.startswith("filesystem://"):
    for _folder in (_BROKER_DIR / "queue", _BROKER_DIR / "control"):
        _folder.mkdir(parents=True, exist_ok=True)
    # Of two workers that start at once, one would read what the other has not written yet, and end.
    for _exchange in ("celery.pidbox", "runs", "housekeeping"):
        _shared_file(_BROKER_DIR / "control" / f"{_exchange}.exchange", "[]")
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "data_folder_in": str(_BROKER_DIR / "queue"),
        "data_folder_out": str(_BROKER_DIR / "queue"),
        "control_folder": str(_BROKER_DIR / "control"),
        "polling_interval": 0.2,
    }
elif CELERY_BROKER_URL.startswith(("redis://", "rediss://")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 10, "socket_connect_timeout": 5}
    # A message that is not acknowledged when Redis restarts ends the worker: kombu cannot do it later, nor give the
    # message back. The database knows which runs wait, so it may be done at once; then nothing else keeps a worker
    # from taking more of them than it has processes.
    CELERY_TASK_ACKS_LATE = False
    CELERY_WORKER_DISABLE_PREFETCH = True
elif CELERY_BROKER_URL.startswith(("amqp://", "amqps://")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {}
else:
    raise ImproperlyConfigured(
        "CELERY_BROKER_URL names none of redis://, rediss://, amqp://, amqps://, filesystem://."
    )
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "runs"
CELERY_TASK_ROUTES = {"synclog.housekeeping.*": {"queue": "housekeeping"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = GRACE_SECONDS
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Without `expires`: that would compare the clocks of two machines. Jobs see to it themselves that what has piled up
# while no worker was there is done once.
CELERY_BEAT_SCHEDULE = {
    "queue-due-runs-every-10-seconds": {
        "task": "synclog.housekeeping.queue_due_runs",
        "schedule": 10,
    },
    "close-lost-runs-every-30-seconds": {
        "task": "synclog.housekeeping.close_lost_runs",
        "schedule": 30,
    },
    "delete-expired-payloads-every-minute": {
        "task": "synclog.housekeeping.delete_expired_payloads",
        "schedule": _number("SYNCLOG_EXPIRY_INTERVAL_SECONDS", 60, least=1, most=3600),
    },
    "reconcile-payloads-every-day": {
        "task": "synclog.housekeeping.reconcile_payloads",
        "schedule": 24 * 3600,
    },
    "prune-logs-every-hour": {
        "task": "synclog.housekeeping.prune_logs",
        "schedule": 3600,
    },
}

# --- The processes' own logs (those of runs are rows) -----------------------------------------------------

# What no line of ours shows is not looked up either: a fifth of what a line of a run costs. So says the standard
# library's logging HOWTO, "Optimization".
logging._srcfile = None
logging.logThreads = False
logging.logProcesses = False
logging.logMultiprocessing = False
logging.logAsyncioTasks = False  # type: ignore[attr-defined] # Its stubs do not know it yet.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "stderr": {
            "class": "apps.runs.logs.current.OutsideRunsHandler",
            "formatter": "plain",
            "level": "INFO",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Down to debug, because the log of a run holds debug lines; stderr starts at info.
        "apps": {"level": "DEBUG"},
        "celery": {"level": "INFO"},
        # Django's own handler would say everything twice.
        "django": {"handlers": [], "level": "INFO"},
    },
}

"""Django's settings, all of them read from the environment; every default is the embedded mode.

A value that cannot be used stops the start with one line that names the variable, the reason and the way out.
"""

import logging
import secrets
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from config.broker import REDIS, transport_options
from config.environment import (
    absolute_folders,
    database,
    flag,
    number,
    one_of,
    shared_file,
    text,
    texts,
    whole,
    writable_folder,
)
from config.payload_storage import payload_storage

BASE_DIR = Path(__file__).resolve().parent.parent


# --- Where things are kept -------------------------------------------------------------------------------

DATA_DIR = writable_folder("SYNCLOG_DATA_DIR", BASE_DIR / "var")
SPOOL_DIR = DATA_DIR / "spool"
# The keys of SSH servers, as they were when each was first met.
KNOWN_HOSTS = DATA_DIR / "known_hosts"
# Where `file://` connections may read and write.
FILE_ROOTS = absolute_folders("SYNCLOG_FILE_ROOTS", DATA_DIR)

DATABASES = {"default": database("DATABASE_URL", DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PAYLOAD_RETENTION = timedelta(hours=number("PAYLOAD_RETENTION_HOURS", 24, least=0, most=24 * 366))
LOG_RETENTION = timedelta(days=number("LOG_RETENTION_DAYS", 30, least=0, most=36600))

# Bytes of one payload; a larger one is not kept.
MAX_PAYLOAD_BYTES = whole("SYNCLOG_MAX_PAYLOAD_MIB", 1024, least=1, most=10**6) * 1024 * 1024

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "payloads": payload_storage(DATA_DIR / "payloads", MAX_PAYLOAD_BYTES),
}
# How the API hands payloads out: itself, or by an address of the store's own that works for 60 s at the most.
PAYLOAD_DOWNLOAD = one_of("PAYLOAD_DOWNLOAD", "stream", ("stream", "redirect"))

# --- Limits of a run --------------------------------------------------------------------------------------

# Bytes of one response or one JSON document that is held in memory.
MAX_RESPONSE_BYTES = whole("SYNCLOG_MAX_RESPONSE_MIB", 64, least=1, most=4096) * 1024 * 1024
# Records that a destination may refuse before the run stops.
MAX_REFUSED_RECORDS = whole("SYNCLOG_MAX_REFUSED_RECORDS", 100, least=0, most=10**9)
# Pages of one run; a source that never ends is stopped here at the latest.
MAX_PAGES = whole("SYNCLOG_MAX_PAGES", 100_000, least=1, most=10**9)
# Lines and bytes of one log; of one that outgrows them head and tail are kept, and the middle is counted.
MAX_LOG_LINES = whole("SYNCLOG_MAX_LOG_LINES", 2_000_000, least=100, most=10**9)
MAX_LOG_BYTES = whole("SYNCLOG_MAX_LOG_MIB", 512, least=1, most=10**6) * 1024 * 1024
# Bytes on disk of the payloads that a run holds back until it is known whether they are needed.
CAPTURE_BYTES = whole("SYNCLOG_CAPTURE_MIB", 256, least=1, most=10**6) * 1024 * 1024

# Seconds that runs may still take once their worker is told to stop; what takes longer is ended as lost.
GRACE_SECONDS = whole("SYNCLOG_GRACE_SECONDS", 30, least=0, most=24 * 3600)

# --- Django -----------------------------------------------------------------------------------------------

DEBUG = flag("DJANGO_DEBUG", default=False)
DEMO = flag("SYNCLOG_DEMO", default=False)
PORT = whole("PORT", 8000, least=1, most=65535)
# Without one in the environment, the one that the first start left in the data directory.
SECRET_KEY = text("DJANGO_SECRET_KEY") or shared_file(DATA_DIR / "secret-key", secrets.token_urlsafe(48))
ALLOWED_HOSTS = texts("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = texts("DJANGO_CSRF_TRUSTED_ORIGINS")
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
    "apps.console.ui.time_zone.ReaderZone",
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
AUTHENTICATION_BACKENDS = ["apps.services.user_access.UserAccessBackend"]
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
API_TOKEN_RATE = whole("SYNCLOG_API_TOKEN_RATE", 6000, least=0, most=10**9)
API_ADDRESS_RATE = whole("SYNCLOG_API_ADDRESS_RATE", 30_000, least=0, most=10**9)
# The same for wrong tokens from one address.
API_FAILURE_RATE = whole("SYNCLOG_API_FAILURE_RATE", 120, least=0, most=10**9)

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

CELERY_BROKER_URL = text("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL, DATA_DIR / "broker")
# A message that is not acknowledged when Redis restarts ends the worker: kombu cannot do it later, nor give the
# message back. The database knows which runs wait, so it may be done at once; then nothing else keeps a worker
# from taking more of them than it has processes.
CELERY_TASK_ACKS_LATE = not CELERY_BROKER_URL.startswith(REDIS)
CELERY_WORKER_DISABLE_PREFETCH = CELERY_BROKER_URL.startswith(REDIS)
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
        "schedule": number("SYNCLOG_EXPIRY_INTERVAL_SECONDS", 60, least=1, most=3600),
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
            "class": "apps.runs.log.context.OutsideRunsHandler",
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

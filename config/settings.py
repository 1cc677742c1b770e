"""Django's settings, read from the environment; the defaults are the embedded mode.

An invalid value stops the start with one line that names the variable, the reason and how to fix it.
"""

import secrets
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from config.api import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401 - settings
from config.beat_schedule import beat_schedule
from config.broker import REDIS, caches, transport_options
from config.email import base_url, is_mail_address, mailers
from config.environment import (
    absolute_folders,
    database,
    read_choice,
    read_flag,
    read_list,
    read_number,
    read_text,
    read_whole_number,
    shared_file,
    writable_folder,
)
from config.logs import LOGGING  # noqa: F401 - a setting
from config.openid_connect import openid_provider
from config.payload_storage import payload_storage

BASE_DIR = Path(__file__).resolve().parent.parent


# --- Data ------------------------------------------------------------------------------------------------

DATA_DIR = writable_folder("SYNCLOG_DATA_DIR", BASE_DIR / "var")
SPOOL_DIR = DATA_DIR / "spool"
# Folders that `file://` connections may read and write.
FILE_ROOTS = absolute_folders("SYNCLOG_FILE_ROOTS", DATA_DIR)

DATABASES = {"default": database("DATABASE_URL", DATA_DIR, password=read_text("DATABASE_PASSWORD"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PAYLOAD_RETENTION = timedelta(hours=read_number("PAYLOAD_RETENTION_HOURS", 24, minimum=0, maximum=24 * 366))
RECORD_RETENTION = timedelta(days=read_number("RECORD_RETENTION_DAYS", 15, minimum=0, maximum=36600))
LOG_RETENTION = timedelta(days=read_number("LOG_RETENTION_DAYS", 30, minimum=0, maximum=36600))
AUDIT_RETENTION = timedelta(days=read_number("AUDIT_RETENTION_DAYS", 365, minimum=1, maximum=36600))

# Maximum size of a payload in bytes.
MAX_PAYLOAD_BYTES = read_whole_number("SYNCLOG_MAX_PAYLOAD_MIB", 1024, minimum=1, maximum=10**6) * 1024 * 1024

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "payloads": payload_storage(DATA_DIR / "payloads", MAX_PAYLOAD_BYTES),
}
# "stream" through the API, or "redirect" to a presigned URL of the store, valid for at most 60 s.
PAYLOAD_DOWNLOAD = read_choice("PAYLOAD_DOWNLOAD", "stream", ("stream", "redirect"))

# --- Limits of a run --------------------------------------------------------------------------------------

# Maximum bytes of a response or JSON document in memory.
MAX_RESPONSE_BYTES = read_whole_number("SYNCLOG_MAX_RESPONSE_MIB", 64, minimum=1, maximum=4096) * 1024 * 1024
# Maximum bytes of a compressed file or archive after decompression.
MAX_FILE_BYTES = read_whole_number("SYNCLOG_MAX_FILE_MIB", 4096, minimum=1, maximum=10**6) * 1024 * 1024
# Refused records after which a run stops.
MAX_REFUSED_RECORDS = read_whole_number("SYNCLOG_MAX_REFUSED_RECORDS", 100, minimum=0, maximum=10**9)
# Maximum number of pages of one run.
MAX_PAGES = read_whole_number("SYNCLOG_MAX_PAGES", 100_000, minimum=1, maximum=10**9)
# Maximum lines and bytes of one log; longer logs keep head and tail.
MAX_LOG_LINES = read_whole_number("SYNCLOG_MAX_LOG_LINES", 2_000_000, minimum=100, maximum=10**9)
MAX_LOG_BYTES = read_whole_number("SYNCLOG_MAX_LOG_MIB", 512, minimum=1, maximum=10**6) * 1024 * 1024
# Maximum bytes on disk of captured payloads of one run.
CAPTURE_BYTES = read_whole_number("SYNCLOG_CAPTURE_MIB", 256, minimum=1, maximum=10**6) * 1024 * 1024

# Grace period in seconds for runs of a worker that shuts down.
GRACE_SECONDS = read_whole_number("SYNCLOG_GRACE_SECONDS", 30, minimum=0, maximum=24 * 3600)

# --- Django -----------------------------------------------------------------------------------------------

DEBUG = read_flag("DJANGO_DEBUG", default=False)
# Whether `make run` creates the demo services.
DEMO = read_flag("SYNCLOG_DEMO", default=True)
PORT = read_whole_number("PORT", 8000, minimum=1, maximum=65535)
# Without a variable, the key that the first start generated in the data directory.
SECRET_KEY = read_text("DJANGO_SECRET_KEY") or shared_file(DATA_DIR / "secret-key", secrets.token_urlsafe(48))
ALLOWED_HOSTS = read_list("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = read_list("DJANGO_CSRF_TRUSTED_ORIGINS")
for _origin in CSRF_TRUSTED_ORIGINS:
    if not _origin.startswith(("http://", "https://")):
        raise ImproperlyConfigured(
            f"DJANGO_CSRF_TRUSTED_ORIGINS contains {_origin!r}; write it with its scheme, as in "
            f"https://{_origin}."
        )

INSTALLED_APPS = [
    "apps.demo",
    "apps.console",  # Before the admin, so that its templates take precedence.
    "apps.api",
    "apps.alerts",
    "apps.runs",
    "apps.services",
    "apps.audit",
    "config.admin.SynclogAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
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
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.console.ui.time_zone.ReaderZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# Number of proxies that append to X-Forwarded-For; 0 = clients connect directly.
TRUSTED_PROXIES = read_whole_number("SYNCLOG_TRUSTED_PROXIES", 0, minimum=0, maximum=10)
if TRUSTED_PROXIES:
    MIDDLEWARE.insert(0, "config.client_address.client_address_middleware")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
FORM_RENDERER = "apps.console.ui.form_renderer.FormRenderer"
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

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "apps" / "console" / "locale"]
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = Path(read_text("SYNCLOG_STATIC_DIR", str(DATA_DIR / "static"))).absolute()
# Compressing source maps takes longer than all other files; only developers of the libraries load them.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ("map", "gz", "gif", "jpg", "png", "woff", "woff2")

# --- Mail -------------------------------------------------------------------------------------------------

MAILERS = mailers("EMAIL_URL", DATA_DIR / "mail")
# Without it mails are files that only operators can read.
HAS_MAIL_SERVER = bool(read_text("EMAIL_URL"))
DEFAULT_FROM_EMAIL = read_text("DEFAULT_FROM_EMAIL", "Synclog <synclog@localhost>")
if not is_mail_address(DEFAULT_FROM_EMAIL):
    raise ImproperlyConfigured("DEFAULT_FROM_EMAIL is invalid; write Synclog <synclog@example.com>.")
# For links in messages.
BASE_URL = base_url("SYNCLOG_BASE_URL")

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
# An https origin in DJANGO_CSRF_TRUSTED_ORIGINS means that a proxy terminates TLS.
_BEHIND_TLS = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _BEHIND_TLS else None

# --- Login ------------------------------------------------------------------------------------------------

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LOGOUT_REDIRECT_URL = "admin:login"

ACCOUNT_ADAPTER = "apps.console.account.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "apps.console.account.forms.LoginForm",
    "reset_password": "apps.console.account.forms.ResetPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
# Sessions survive the end of the browser.
ACCOUNT_SESSION_REMEMBER = True
# Addresses are those of Django's users; several users may share one.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# In seconds.
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105 - a class
# By address (ip) and account (key).
ACCOUNT_RATE_LIMITS = {
    "login": "60/m/ip",
    "login_failed": "20/m/ip,100/h/ip,10/10m/key",
    "reset_password": "20/10m/ip,3/10m/key",
}

# None if users log in with passwords only.
OPENID_PROVIDER = openid_provider()
SOCIALACCOUNT_PROVIDERS = OPENID_PROVIDER.for_allauth() if OPENID_PROVIDER else {}
if OPENID_PROVIDER:
    # Only then, because its imports delay the start of every process. It has no tables.
    INSTALLED_APPS.append("allauth.socialaccount.providers.openid_connect")
SOCIALACCOUNT_ADAPTER = "apps.console.account.openid_connect.ProviderAdapter"
# By a link: the content security policy forbids that a form leads to another site.
SOCIALACCOUNT_LOGIN_ON_GET = True
# In seconds. Afterwards the provider is asked again for the groups of the user.
OPENID_SESSION_SECONDS = 12 * 3600

# Whether users without a second factor must set one up before they see anything else.
REQUIRE_2FA = read_flag("SYNCLOG_REQUIRE_2FA", default=False)
MFA_ADAPTER = "apps.console.account.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Synclog"
# Accepts the previous and the next code, for clocks that differ by up to 30 s.
MFA_TOTP_TOLERANCE = 1

# --- API --------------------------------------------------------------------------------------------------

# Requests per minute before 429; 0 = no limit.
API_TOKEN_RATE = read_whole_number("SYNCLOG_API_TOKEN_RATE", 6000, minimum=0, maximum=10**9)
API_ADDRESS_RATE = read_whole_number("SYNCLOG_API_ADDRESS_RATE", 30_000, minimum=0, maximum=10**9)
# The same for invalid tokens from one address.
API_FAILURE_RATE = read_whole_number("SYNCLOG_API_FAILURE_RATE", 120, minimum=0, maximum=10**9)

# --- Celery -----------------------------------------------------------------------------------------------

CELERY_BROKER_URL = read_text("CELERY_BROKER_URL", "filesystem://localhost")
CACHES = caches(CELERY_BROKER_URL, DATA_DIR / "cache")
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL, DATA_DIR / "broker")
# A message that is not acknowledged when Redis restarts ends the worker: kombu can neither acknowledge it later nor
# return it. The database knows which runs wait, so messages are acknowledged early; without prefetching no worker
# takes more of them than it has processes.
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
CELERY_BEAT_SCHEDULER = "config.scheduler:Scheduler"
# Touched by a worker or scheduler that is connected to the broker, for the health check of its container.
HEARTBEAT_FILE = read_text("SYNCLOG_HEARTBEAT_FILE")
CELERY_BEAT_SCHEDULE = beat_schedule(
    expiry_interval=read_number("SYNCLOG_EXPIRY_INTERVAL_SECONDS", 60, minimum=1, maximum=3600)
)

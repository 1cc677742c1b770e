"""Environment variables, each read by name and validated.

An invalid value raises `ImproperlyConfigured` with the variable, the reason and how to fix it.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

# Options of libpq: a connection whose network or server vanished fails within 25 s, before a worker gives up its lease.
# By default it would take 15 minutes if data was sent, and two hours if not.
_FAIL_SOON = {
    "connect_timeout": 10,  # Seconds, as those below.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # Milliseconds.
}


def read_text(name: str, default: str = "") -> str:
    """The variable, or the content of the file that the variable with the suffix _FILE names."""
    value, path = (os.environ.get(each, "").strip() for each in (name, f"{name}_FILE"))
    if not path:
        return value or default
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; set one of them.")
    try:
        content = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ImproperlyConfigured(f"{name}_FILE is {path}, which cannot be read: {reason}.") from None
    if not content:
        raise ImproperlyConfigured(f"{name}_FILE is {path}, which is empty; write the value to it.")
    return content


def read_list(name: str, default: str = "") -> list[str]:
    """Comma-separated values."""
    return [item.strip() for item in read_text(name, default).split(",") if item.strip()]


def read_flag(name: str, *, default: bool) -> bool:
    value = read_text(name, "1" if default else "0").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")


def read_number(name: str, default: float, *, minimum: float, maximum: float) -> float:
    value = read_text(name, str(default))
    try:
        found = float(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} is {value!r}, which is not a number; write one from {minimum:g} to {maximum:g}."
        ) from None
    if not minimum <= found <= maximum:
        raise ImproperlyConfigured(f"{name} is {value}; write a number from {minimum:g} to {maximum:g}.")
    return found


def read_whole_number(name: str, default: int, *, minimum: int, maximum: int) -> int:
    found = read_number(name, default, minimum=minimum, maximum=maximum)
    if found != int(found):
        raise ImproperlyConfigured(f"{name} is {found}; write a whole number.")
    return int(found)


def read_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = read_text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; write one of {', '.join(filter(None, choices))}.")
    return value


def writable_folder(name: str, default: Path) -> Path:
    """A folder, created if it is missing."""
    folder = Path(read_text(name, str(default))).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is {folder}, which cannot be created: {error.strerror}."
        ) from None
    if not os.access(folder, os.W_OK):
        raise ImproperlyConfigured(f"{name} is {folder}, which is not writable for this user.")
    return folder


def absolute_folders(name: str, default: Path) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in read_list(name, str(default))]
    for folder in folders:
        if not folder.is_absolute():
            raise ImproperlyConfigured(
                f"{name} contains {str(folder)!r}; write absolute paths, separated by commas."
            )
    return [folder.resolve() for folder in folders]


def database(name: str, folder: Path, *, password: str) -> dict[str, Any]:
    """Django's settings of the database with this URL; a SQLite file in `folder` by default.

    `password` is that of the user of a URL without a password.
    """
    url = read_text(name, f"sqlite:///{folder / 'synclog.sqlite3'}")
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(
            f"{name} is invalid ({type(error).__name__}); write a database URL."
        ) from None
    if password and found["PASSWORD"]:
        raise ImproperlyConfigured(
            f"DATABASE_PASSWORD is set, and {name} contains a password; remove one of them."
        )
    found["PASSWORD"] = found["PASSWORD"] or password
    if found["ENGINE"] == "django.db.backends.sqlite3":
        found["OPTIONS"] = {
            # Writers wait up to 20 s instead of failing when a read becomes a write.
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        # A file, because the threads of a run have connections of their own.
        found["TEST"] = {"NAME": str(folder / "test.sqlite3")}
    elif found["ENGINE"] == "django.db.backends.postgresql":
        found["OPTIONS"] = _FAIL_SOON | found.get("OPTIONS", {})
    else:
        raise ImproperlyConfigured(f"{name} must begin with sqlite:// or postgres://.")
    return found


def shared_file(path: Path, content: str) -> str:
    """Text of the file; the first process that starts writes `content` to it.

    The file appears complete, so that no process reads a part of it.
    """
    if not path.exists():
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not path.exists():
                descriptor, draft = tempfile.mkstemp(dir=path.parent)
                with os.fdopen(descriptor, "w") as file:
                    file.write(content)
                Path(draft).replace(path)
        finally:
            os.close(folder)
    return path.read_text().strip()

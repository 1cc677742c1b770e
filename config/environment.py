"""What the environment says, each variable by its name and checked.

A value that cannot be used is an `ImproperlyConfigured` that names the variable, the reason and the way out.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def texts(name: str, default: str = "") -> list[str]:
    """What stands between the commas."""
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def flag(name: str, *, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")


def number(name: str, default: float, *, least: float, most: float) -> float:
    value = text(name, str(default))
    try:
        found = float(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} is {value!r}, which is no number; write one from {least:g} to {most:g}."
        ) from None
    if not least <= found <= most:
        raise ImproperlyConfigured(f"{name} is {value}; write a number from {least:g} to {most:g}.")
    return found


def whole(name: str, default: int, *, least: int, most: int) -> int:
    found = number(name, default, least=least, most=most)
    if found != int(found):
        raise ImproperlyConfigured(f"{name} is {found}; write a whole number.")
    return int(found)


def one_of(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; write one of {', '.join(filter(None, choices))}.")
    return value


def writable_folder(name: str, default: Path) -> Path:
    """A folder that is there from now on."""
    folder = Path(text(name, str(default))).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} is {folder}, which cannot be made: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise ImproperlyConfigured(f"{name} is {folder}, where this user may not write.")
    return folder


def absolute_folders(name: str, default: Path) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in texts(name, str(default))]
    for folder in folders:
        if not folder.is_absolute():
            raise ImproperlyConfigured(
                f"{name} names {str(folder)!r}; write absolute paths, parted by commas."
            )
    return [folder.resolve() for folder in folders]


def database(name: str, folder: Path) -> dict[str, Any]:
    """Django's settings of the database with that URL; of a SQLite file in `folder` where there is none."""
    url = text(name, f"sqlite:///{folder / 'synclog.sqlite3'}")
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(
            f"{name} cannot be read: {type(error).__name__}; write a database URL."
        ) from None
    if found["ENGINE"] == "django.db.backends.sqlite3":
        found["OPTIONS"] = {
            # Writers queue for up to 20 s, instead of failing when a read turns into a write.
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        # A file, because the threads of a run have connections of their own.
        found["TEST"] = {"NAME": str(folder / "test.sqlite3")}
    elif found["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            f"{name} names neither sqlite:// nor postgres://; Synclog runs on those two."
        )
    return found


def shared_file(path: Path, content: str) -> str:
    """What stands in the file, which is `content` for the first of the processes that start at once.

    It appears at once with all of its text, so that nobody reads the beginning of it.
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

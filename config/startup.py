"""One-line errors for invalid configuration."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the process with one line instead of a traceback if the configuration is invalid."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.exit(f"synclog: {error}")

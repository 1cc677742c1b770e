"""How a process says that its configuration is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line, not a traceback, when the configuration is wrong."""
    try:
        yield
    except ImproperlyConfigured as error:
        sys.exit(f"synclog: {error}")

"""Test of a connection: opens it step by step, and says which step failed and what to do.

Uses the connectors as a run does, and stores nothing.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError

from apps.services.connectors.base import ConnectorError, RunContext
from apps.services.connectors.connection_test import folder_check, http_check
from apps.services.connectors.connection_test.advice import advice_for
from apps.services.connectors.connection_test.progress import ConnectionTest
from apps.services.connectors.network_errors import CA_HINT
from apps.services.definition.connection_url import validate_address
from apps.services.models import Connection


def check_connection(
    connection: Connection, context: RunContext, test: ConnectionTest, *, forgets_host_key: bool = False
) -> None:
    """Opens `connection`; `test` contains the steps, also while it is running. Raises the errors of `context.check`.

    `context` allows one attempt. With `forgets_host_key` any SSH server is trusted.
    """
    try:
        validate_address(connection.kind, connection.url)
        if connection.kind == Connection.Kind.HTTP:
            http_check.check_http(connection, context, test)
        else:
            folder_check.check_folder(connection, test, forgets_host_key=forgets_host_key)
    except ValidationError as error:
        test.fail(" ".join(error.messages))
    except ConnectorError as error:
        # The advice replaces the hint.
        test.fail(str(error).replace(CA_HINT, ""), advice_for(test.current.name, error, connection))

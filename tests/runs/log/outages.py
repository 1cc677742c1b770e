"""A database that fails while a log is shipped."""

import pytest
from django.db import OperationalError, transaction

from apps.runs.log import shipper


def break_shipping(monkeypatch: pytest.MonkeyPatch, *, is_committed: bool) -> list[OperationalError]:
    """Lets the first batches fail, up to three, after they were written: before their commit or after it."""
    monkeypatch.setattr(shipper, "RETRY_INTERVAL", 0.01)
    write_records = shipper.write_records
    failures: list[OperationalError] = []

    def fail() -> None:
        failures.append(OperationalError("connection lost"))
        raise failures[-1]

    def write_and_fail(*arguments: object) -> None:
        write_records(*arguments)
        if len(failures) < 3:
            if is_committed:
                transaction.on_commit(fail)
            else:
                fail()

    monkeypatch.setattr(shipper, "write_records", write_and_fail)
    return failures

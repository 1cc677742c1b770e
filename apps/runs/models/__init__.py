"""Runs, log lines, payloads and housekeeping jobs."""

from apps.runs.models.log_entry import Level, LogEntry, Step
from apps.runs.models.payload import Payload
from apps.runs.models.payload_read import PayloadRead
from apps.runs.models.run import Run
from apps.runs.models.tick import Tick

__all__ = ("Level", "LogEntry", "Payload", "PayloadRead", "Run", "Step", "Tick")

"""Runs, log lines, occurrences of problems, records, payloads, source files and housekeeping jobs."""

from apps.runs.models.housekeeping_job import HousekeepingJob
from apps.runs.models.log_entry import Level, LogEntry, Step
from apps.runs.models.payload import Payload
from apps.runs.models.payload_read import PayloadRead
from apps.runs.models.record import AcceptedContent, Record, RecordSelection
from apps.runs.models.run import Run
from apps.runs.models.run_problem import RunProblem
from apps.runs.models.source_file import SourceFile

__all__ = (
    "AcceptedContent",
    "HousekeepingJob",
    "Level",
    "LogEntry",
    "Payload",
    "PayloadRead",
    "Record",
    "RecordSelection",
    "Run",
    "RunProblem",
    "SourceFile",
    "Step",
)

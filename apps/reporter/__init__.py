"""Client that reports runs of other programs; see run_report.py.

Imports the standard library only.
"""

from .run_report import Report, ReportHandler, report

__all__ = ("Report", "ReportHandler", "report")

"""Reports runs that happen elsewhere; see client.py."""

from .client import Report, ReportHandler, report

__all__ = ("Report", "ReportHandler", "report")

"""Client that reports runs of other programs; see client.py.

Imports the standard library only.
"""

from .client import Report, ReportHandler, report

__all__ = ("Report", "ReportHandler", "report")

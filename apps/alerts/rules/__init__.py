"""Description of rules in service files.

May import `apps.alerts.models`.
"""

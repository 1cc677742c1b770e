"""Alerts: problems of services, incidents, and the messages about them.

May import `apps.runs`, `apps.services` and `apps.audit`.
"""

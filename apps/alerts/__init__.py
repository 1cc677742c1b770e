"""Alerts: problems of services, incidents, and the messages about them.

May import `apps.runs` and `apps.services`.
"""

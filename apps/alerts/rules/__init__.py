"""Rules in service files: their options and loading.

May import `apps.alerts.models`.
"""

"""Channels: their validation, and how each kind sends a message.

May import `apps.alerts.models`, and the connectors of `apps.services`.
"""

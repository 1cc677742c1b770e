"""Messages and their delivery: the outbox, the rendering of a message, and the sending by housekeeping.

May import `apps.alerts.models` and `apps.alerts.channels`.
"""

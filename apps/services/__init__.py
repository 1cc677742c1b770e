"""Services: their connections, options, connectors, scripts and schedules.

May import nothing of the other apps.
"""

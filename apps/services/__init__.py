"""Services: their connections, options, connectors, scripts and schedules.

May import `apps.audit`, and no other app.
"""

"""Incidents: events of runs, of the clock and of problems open and close them; notices are sent to the channels.

May import `apps.alerts.models` and `apps.alerts.delivery`.
"""

"""What can run: connections, services, their scripts and schedules.

May import nothing of the other apps.
"""

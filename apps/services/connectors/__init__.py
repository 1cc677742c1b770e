"""Connectors: access to the source and the destination of a service.

May import `definition` and the models of `apps.services`. The address guard loads nothing of Django: Apprise's process
imports it for each message.
"""

"""Runs, their logs and their payloads, from the queue to the clean-up.

May import `apps.services`, `apps.reporter` and `apps.audit`.
The subpackages are the stages of a run; import-linter enforces their order.
"""

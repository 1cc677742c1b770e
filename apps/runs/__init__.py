"""Runs, their logs and their payloads, from the queue to the clean-up.

May import `apps.services` and `apps.reporter`.
The subpackages are the stages of a run; import-linter keeps their order.
"""

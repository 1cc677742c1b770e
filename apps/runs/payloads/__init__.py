"""Payloads: storage, reading, expiry and reconciliation of the files that pass through a run.

May import the models and the log.
"""

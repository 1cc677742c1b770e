"""Execution: queue, claim, pipeline, interruption and finalization of a run.

May import the log, the payloads, the records and the models.
"""

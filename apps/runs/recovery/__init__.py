"""Recovery and retention: lost runs, late log lines, and deletion of old logs.

May import the execution and everything below it.
"""

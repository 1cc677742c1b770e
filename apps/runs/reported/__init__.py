"""Reported runs: runs that happen elsewhere and report their log, payloads and result here.

May import the execution and everything below it.
"""

"""Faults: the real stack is killed, stopped and starved at seeded moments, and an outside witness tells what was lost.

`make test` holds a short form, `make faults` the long one: python -m tests.faults [seed].
"""

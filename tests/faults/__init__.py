"""Fault injection: kills, stops and starves the real stack at seeded moments; an external witness detects lost lines.

`make test` runs a short form, `make faults` the long one: python -m tests.faults [seed].
"""

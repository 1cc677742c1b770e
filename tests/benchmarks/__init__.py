"""The benchmark suite: `make bench`, or `python -m tests.benchmarks [name]`.

A figure is a function with the decorator `benchmark` in a module of this package. It runs in a process of its own,
on a migrated, empty database and a data directory that are its own.
"""

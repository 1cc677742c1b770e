"""The benchmark suite: `make bench`, or `python -m tests.benchmarks [name]`.

A benchmark is a function with the decorator `benchmark` in a module of this package. It runs in its own process, with
its own migrated, empty database and its own data directory.
"""

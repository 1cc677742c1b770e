"""HTTP connector: pulls pages from a REST API and pushes batches to one.

May import the shared modules of `connectors`, its formats, and `definition`.
"""

"""File connector: pulls records from files and pushes records to files, on this host or through fsspec.

May import the shared modules of `connectors`, its formats, and `definition`.
"""

"""File formats: the reader and the writer of each.

May import the shared modules of `connectors`; no connector.
"""

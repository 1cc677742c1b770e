"""The demo that `make run` shows: services, their source and destination systems, and the processes.

May import everything; nothing imports it.
"""

"""Trials: the first page goes through the steps of an unsaved service; nothing is pushed or stored.

May import the execution and what it is built on.
"""

"""Trials: connections and services are tried with unsaved settings; nothing is pushed or stored.

May import the execution and what it is built on.
"""

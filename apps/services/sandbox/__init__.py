"""Sandbox for custom scripts: Starlark in a child process with limits, without files, network and secrets.

May import `exact_json`, and nothing of the other packages. Each child process loads what is imported here.
"""

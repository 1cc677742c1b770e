"""Audit log: who did what, when, and to which object. Other apps register the tables that record their actions.

Imports no other app.
"""

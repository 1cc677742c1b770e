"""Monitoring: health checks and metrics for operators.

May import every other module of `apps.runs`.
"""

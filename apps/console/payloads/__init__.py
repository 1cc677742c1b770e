"""Payloads over all runs, and the preview of one payload."""

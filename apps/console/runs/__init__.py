"""Runs over all services, and the pages and actions of one run."""

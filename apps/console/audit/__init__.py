"""Page of the audit log: list, filters and CSV."""

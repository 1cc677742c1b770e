"""Services list, with the recent runs of each service."""

"""Service summary (View logs): the daily transactions and the runs of one service."""

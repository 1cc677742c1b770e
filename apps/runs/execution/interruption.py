"""Reasons for which a run is stopped before its end."""


class RunStopped(Exception):
    """A limit of the run was reached; the message is for the log."""


class TooManyRefused(RunStopped):
    """The destination refused too many records; a retry would be refused as well."""


class RunAbandoned(Exception):
    """The run has ended without this thread, which must not do anything more."""


class WorkerShutdown(Exception):
    """The worker is shutting down, and the run takes longer than the grace period."""


class RunCancelled(Exception):
    """A person asked the run to stop."""

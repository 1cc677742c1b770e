"""Why a run is stopped before its end."""


class RunStopped(Exception):
    """A limit of the run was reached; the message says which, for its log."""


class RunCancelled(Exception):
    """A person asked the run to stop."""

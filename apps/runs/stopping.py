"""Why a run is stopped before its end."""


class RunStopped(Exception):
    """A limit of the run was reached; the message says which, for its log."""


class TooManyRefused(RunStopped):
    """The destination refused more records than a run may have; it would refuse the same ones again."""


class RunCancelled(Exception):
    """A person asked the run to stop."""

"""Why a run is stopped before its end."""


class RunStopped(Exception):
    """A limit of the run was reached; the message says which, for its log."""


class TooManyRefused(RunStopped):
    """The destination refused more records than a run may have; it would refuse the same ones again."""


class LeftBehind(Exception):
    """The run has gone on to its end without the thread that this is raised in: it must do nothing more."""


class WorkerLeaves(Exception):
    """The worker is being stopped, and the run would take longer than it may."""


class RunCancelled(Exception):
    """A person asked the run to stop."""

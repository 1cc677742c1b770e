"""Logs of the processes; those of runs are in the database."""

import logging

# Details that no line shows are not collected: a fifth of the cost of a line. See "Optimization" in the logging
# HOWTO. The process number is collected, because Gunicorn's lines show it.
logging._srcfile = None
logging.logThreads = False
logging.logMultiprocessing = False
logging.logAsyncioTasks = False  # type: ignore[attr-defined] # Its stubs do not know it yet.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "stderr": {
            "class": "apps.runs.log.context.OutsideRunsHandler",
            "formatter": "plain",
            "level": "INFO",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Down to debug, because the log of a run has debug lines; stderr starts at info.
        "apps": {"level": "DEBUG"},
        "celery": {"level": "INFO"},
        # Django's own handler would repeat everything.
        "django": {"handlers": [], "level": "INFO"},
    },
}

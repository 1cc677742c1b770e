"""Forks management commands and daemons from one process, which has loaded Django, Celery and Gunicorn once.

    python -m tests.command_server [module …]

Imports the modules of its arguments before all others. Reads JSON lists from standard input, [output file, error file,
module, argument, …]. Without a module it runs a management command and writes its exit code; with a module, it runs
`python -m module argument …` in a new session and writes its process ID.
"""

import gc
import importlib
import json
import mmap
import os
import runpy
import sys
from typing import TextIO

import django
from django.core.management import execute_from_command_line

# What every command and daemon of a stack needs.
_MODULES = (
    *("config.urls", "config.wsgi", "apps.runs.tasks", "apps.alerts.tasks"),
    *("celery.bin.celery", "celery.bin.worker", "celery.bin.beat", "celery.worker.worker", "celery.beat"),
    *("celery.concurrency.prefork", "celery.concurrency.solo", "kombu.transport.redis"),
    *("gunicorn.app.wsgiapp", "gunicorn.workers.gthread"),
)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    for module in sys.argv[1:]:
        importlib.import_module(module)
    django.setup()
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        stdout, stderr, module, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            _redirect(sys.stdout, stdout)
            _redirect(sys.stderr, stderr)
            if module:
                _become_daemon(module, arguments)
            else:
                execute_from_command_line(["manage.py", *arguments])
            sys.exit()
        print(child if module else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become_daemon(module: str, arguments: list[str]) -> None:
    # Only now is Django loaded.
    from apps.runs.execution import worker_shutdown

    # Memory that all forks share: the shutdown of one worker would end the runs of the next.
    worker_shutdown._started_at = memoryview(mmap.mmap(-1, 8)).cast("d")
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _redirect(stream: TextIO, path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, stream.fileno())


if __name__ == "__main__":
    main()

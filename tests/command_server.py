"""Runs management commands in forks of one process, which has loaded Django once.

    python -m tests.command_server

Reads JSON lists from standard input, [file for stdout, file for stderr, argument, …], and writes the exit code of each
command.
"""

import json
import os
import sys
from typing import TextIO

import django
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    for line in sys.stdin:
        stdout, stderr, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            _redirect(sys.stdout, stdout)
            _redirect(sys.stderr, stderr)
            execute_from_command_line(["manage.py", *arguments])
            sys.exit()
        _child, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _redirect(stream: TextIO, path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, stream.fileno())


if __name__ == "__main__":
    main()

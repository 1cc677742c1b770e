"""Worker and scheduler touch their heartbeat files."""

import os
import subprocess
import sys

import pytest

from tests.stack import ROOT, wait_until

COMMANDS = {"worker": ["worker", "-Q", "runs", "-P", "solo"], "scheduler": ["beat", "--pidfile="]}


@pytest.mark.stack
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_process_touches_its_heartbeat_file(tmp_path, command):
    heartbeat = tmp_path / "heartbeat"
    environment = {"SYNCLOG_DATA_DIR": str(tmp_path / "data"), "SYNCLOG_HEARTBEAT_FILE": str(heartbeat)}

    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "config", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    with process:
        try:
            wait_until(heartbeat.exists)
            first = heartbeat.stat().st_mtime_ns
            wait_until(lambda: heartbeat.stat().st_mtime_ns > first)
        finally:
            process.kill()

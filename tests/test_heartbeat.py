"""Worker and scheduler touch their heartbeat files."""

import os

import pytest

from tests.stack import CommandServer, Daemon, wait_until

COMMANDS = {"worker": ["worker", "-Q", "runs", "-P", "solo"], "scheduler": ["beat", "--pidfile="]}


@pytest.fixture(scope="module")
def heartbeat(tmp_path_factory):
    return tmp_path_factory.mktemp("processes") / "heartbeat"


@pytest.fixture(scope="module")
def server(heartbeat):
    data = str(heartbeat.with_name("data"))
    environment = {"SYNCLOG_DATA_DIR": data, "SYNCLOG_HEARTBEAT_FILE": str(heartbeat)}
    server = CommandServer({"PATH": os.environ["PATH"], **environment})
    yield server
    server.close()


@pytest.mark.stack
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_process_touches_its_heartbeat_file(server, heartbeat, command):
    heartbeat.unlink(missing_ok=True)

    process = Daemon(int(server.request(os.devnull, os.devnull, "celery", "-A", "config", *command)))

    try:
        wait_until(heartbeat.exists)
        first = heartbeat.stat().st_mtime_ns
        wait_until(lambda: heartbeat.stat().st_mtime_ns > first)
    finally:
        process.kill()
        process.wait()

"""Child processes of the demo: checks and shutdown."""

import os
import signal
import sys
import threading
import time

import pytest

from apps.demo import processes
from apps.demo.processes import ProcessEndedError, Processes

# pytest-xdist has threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def demo(tmp_path):
    demo = Processes(tmp_path / "log")
    yield demo
    immediately = threading.Event()
    immediately.set()
    demo.stop(immediately)


def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # pytest replaces sys.stdout.
    os.write(1, b"up")
    time.sleep(600)


def fail():
    os.write(2, b"no more")
    sys.exit(1)


def test_check_names_ended_process_and_shows_its_log(demo):
    demo.start("steady", time.sleep, 600)
    demo.start("failing", fail)
    demo.children[1].process.join()

    with pytest.raises(ProcessEndedError) as caught:
        demo.check()

    assert str(caught.value) == (
        f"The failing ended with exit code 1. The end of {demo.log_dir / 'failing.log'}:\n  no more"
    )


def test_stop_ends_processes_immediately(demo):
    demo.start("steady", time.sleep, 600)
    started = time.monotonic()

    demo.stop(threading.Event())

    assert not demo.children[0].process.is_alive()
    assert time.monotonic() - started < 5


def test_stop_kills_processes_after_the_grace_period(demo, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.3)
    demo.start("stubborn", ignore_sigterm)
    log = demo.log_dir / "stubborn.log"
    while not log.exists() or "up" not in log.read_text():
        time.sleep(0.02)

    demo.stop(threading.Event())

    assert demo.children[0].process.exitcode == -signal.SIGKILL

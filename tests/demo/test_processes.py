"""Child processes of the demo: checks and shutdown."""

import os
import sys
import threading
import time

import pytest

from apps.demo import processes
from apps.demo.processes import ProcessEndedError, Processes

FOREVER = "import time; time.sleep(600)"
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def demo(tmp_path):
    demo = Processes(tmp_path / "log", dict(os.environ))
    yield demo
    immediately = threading.Event()
    immediately.set()
    demo.stop(immediately)


def test_check_names_ended_process_and_shows_its_log(demo):
    demo.start("steady", sys.executable, "-c", FOREVER)
    demo.start("failing", sys.executable, "-c", "import sys; sys.exit('no more')")
    demo.children[1].process.wait(10)

    with pytest.raises(ProcessEndedError) as caught:
        demo.check()

    assert str(caught.value) == (
        f"The failing ended with exit code 1. The end of {demo.log_dir / 'failing.log'}:\n  no more"
    )


def test_stop_ends_processes_immediately(demo):
    demo.start("steady", sys.executable, "-c", FOREVER)
    started = time.monotonic()

    demo.stop(threading.Event())

    assert demo.children[0].process.poll() is not None
    assert time.monotonic() - started < 5


def test_stop_kills_processes_after_the_grace_period(demo, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.3)
    demo.start("stubborn", sys.executable, "-c", IGNORES_SIGTERM)
    while "up" not in (demo.log_dir / "stubborn.log").read_text():
        time.sleep(0.02)

    demo.stop(threading.Event())

    assert demo.children[0].process.poll() == -9

import os
import sys
import threading
import time

import pytest

from apps.demo import processes
from apps.demo.processes import ProcessEndedError, Processes

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def family(tmp_path):
    family = Processes(tmp_path / "log", dict(os.environ))
    yield family
    hurry = threading.Event()
    hurry.set()
    family.stop(hurry)


def test_check_names_the_process_that_ended_and_shows_its_log(family):
    family.start("steady", sys.executable, "-c", FOREVER)
    family.start("frail", sys.executable, "-c", "import sys; sys.exit('no more')")
    family.children[1].process.wait(10)

    with pytest.raises(ProcessEndedError) as caught:
        family.check()

    assert str(caught.value) == (
        f"The frail ended with exit code 1. The end of {family.log_dir / 'frail.log'}:\n  no more"
    )


def test_stop_ends_processes_at_once(family):
    family.start("steady", sys.executable, "-c", FOREVER)
    started = time.monotonic()

    family.stop(threading.Event())

    assert family.children[0].process.poll() is not None
    assert time.monotonic() - started < 5


def test_stop_kills_what_does_not_listen_when_the_grace_is_over(family, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.3)
    family.start("deaf", sys.executable, "-c", DEAF)
    while "up" not in (family.log_dir / "deaf.log").read_text():
        time.sleep(0.02)

    family.stop(threading.Event())

    assert family.children[0].process.poll() == -9

"""Limits of scripts: a script beyond a limit is stopped with a message; worker and next script are unaffected."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from apps.services.sandbox import process
from apps.services.sandbox.limits import MIB, Limits, ScriptError
from apps.services.sandbox.process import Sandbox

TIGHT = Limits(
    wall_seconds=2, cpu_seconds=2, memory_bytes=64 * MIB, log_bytes=MIB // 4, result_bytes=MIB, call_depth=50
)
BRIEF = TIGHT._replace(wall_seconds=0.5)
HEAD = "def transform(records):\n"
LOOP = HEAD + "    for i in range(2000000000):\n        for j in range(2000000000):\n            pass\n"

ENDLESS = {
    "endless loop": (LOOP, ("ran for 0.5 s", " --> script:3:")),
    "endless loop outside": (
        "for i in range(2000000000):\n    for j in range(2000000000):\n        pass\n"
        + HEAD
        + "    return []\n",
        ("ran for 0.5 s", " --> script:2:"),
    ),
    "catastrophic regular expression": (
        HEAD + "    regex.find('(a|aa)+$', 'a' * 100 + 'b')\n",
        ("ran for 0.5 s", "script:2, in transform"),
    ),
    "growing numbers": (
        HEAD + "    x = 3\n    for i in range(2000000000):\n        x = x * x * 3\n",
        ("was stopped",),
    ),
}
BEYOND_LIMITS = {
    "growing list": (
        HEAD + "    x = []\n    for i in range(2000000000):\n        x.append('y' * 100)\n",
        ("more than 64 MiB of memory", " --> script:3:"),
    ),
    "gigantic text": (HEAD + "    x = 'x' * 1000000000000000000\n", ("too big", " --> script:2:")),
    "huge text": (HEAD + "    x = 'x' * 2000000000\n", ("more than 64 MiB of memory",)),
    "doubling text": (
        HEAD + "    x = 'x'\n    for i in range(1000):\n        x = x + x\n",
        ("more than 64 MiB of memory",),
    ),
    "gigantic list": (HEAD + "    x = [1] * 1000000000000\n", ("too big", " --> script:2:")),
    "endless recursion": (
        "def f(n):\n    return f(n + 1)\n" + HEAD + "    return f(0)\n",
        ("too many nested calls", "script:2, in f", "more calls …", " --> script:2:"),
    ),
    "10 MB of log": (
        HEAD + "    for i in range(10000):\n        log('y' * 1000)\n",
        ("logged more than 0.25 MiB", "script:3, in transform"),
    ),
    "log of empty lines": (
        HEAD + "    for i in range(100000):\n        log('')\n",
        ("logged more than 0.25 MiB", "script:3, in transform"),
    ),
    "10 MB of result": (
        HEAD + "    return ['y' * 1000] * 10000\n",
        ("returned 9.6 MiB", "1 MiB at most", ":1:"),
    ),
    "deeply nested values": (
        HEAD + "    x = []\n    for i in range(200000):\n        x = [x]\n    return x\n",
        ("too deeply",),
    ),
    "deeply nested brackets": ("x = " + "[" * 200_000, ("",)),
}


def pid_of(sandbox):
    return sandbox._child._process.pid


@pytest.mark.parametrize(
    ("limits", "source", "messages"),
    [
        pytest.param(limits, *case, id=name)
        for limits, cases in ((BRIEF, ENDLESS), (TIGHT, BEYOND_LIMITS))
        for name, case in cases.items()
    ],
)
def test_script_beyond_a_limit_is_stopped_and_the_next_works(limits, source, messages):
    before = time.monotonic()

    with Sandbox(source, limits=limits) as sandbox, pytest.raises(ScriptError) as error:
        sandbox.transform([{"id": 1}])

    text = str(error.value)
    for message in messages:
        assert message in text
    assert len(text) < 9000
    assert time.monotonic() - before < 30
    with Sandbox(HEAD + "    return records\n", limits=TIGHT) as sandbox:
        assert sandbox.transform([1]) == [1]


def test_cpu_limit_applies_to_each_call():
    source = HEAD + "    for i in range(1000000):\n        pass\n    return records\n"
    limits = Limits(cpu_seconds=0.5)

    with Sandbox(source, limits=limits) as sandbox:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert sandbox.transform([1]) == [1]


def test_cpu_limit_is_independent_of_wall_time():
    limits = Limits(wall_seconds=60, cpu_seconds=0.5)

    with (
        Sandbox(LOOP, limits=limits) as sandbox,
        pytest.raises(ScriptError, match=r"used 0\.5 s of processor"),
    ):
        sandbox.transform([])


def test_log_limit_applies_to_each_call(caplog):
    caplog.set_level("INFO", logger="apps.services.script")
    source = HEAD + "    for i in range(200):\n        log('y' * 1000)\n    return records\n"

    with Sandbox(source, limits=TIGHT) as sandbox:
        for _call in range(3):
            sandbox.transform([])

    assert len(caplog.records) == 600


def test_large_input_and_output_do_not_deadlock():
    source = HEAD + "    for r in records:\n        log(r)\n    return records\n"
    records = ["y" * 1000] * 7000

    with Sandbox(source, limits=Limits(log_bytes=16 * MIB)) as sandbox:
        assert sandbox.transform(records) == records


def test_check_is_called_every_second_and_can_stop_the_script():
    class Cancelled(Exception):
        pass

    called_at = []

    def check():
        called_at.append(time.monotonic())
        if len(called_at) == 2:
            raise Cancelled

    before = time.monotonic()
    with Sandbox(LOOP) as sandbox:
        with pytest.raises(Cancelled):
            sandbox.transform([], check)
        assert sandbox._child is None

    assert 1.5 < called_at[1] - before < 10


@pytest.mark.parametrize(
    ("number", "message"), [(signal.SIGKILL, "killed from outside"), (signal.SIGTERM, "code -15")]
)
def test_killed_child_is_reported(monkeypatch, number, message):
    monkeypatch.setattr(process, "CHECK_INTERVAL", 0.05)

    with Sandbox(LOOP) as sandbox, pytest.raises(ScriptError, match=message):
        sandbox.transform([], check=lambda: os.kill(pid_of(sandbox), number))


def test_child_has_no_environment_and_tight_resource_limits(monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "secret")

    with Sandbox(HEAD + "    return records\n") as sandbox:
        sandbox.transform([])
        child = psutil.Process(pid_of(sandbox))
        limits = {
            line[:25].strip(): line[26:46].strip()
            for line in Path(f"/proc/{child.pid}/limits").read_text().splitlines()
        }
        environment = child.environ()
        session = os.getsid(child.pid)
        folder = child.cwd()

    assert {name for name in environment if name != "LC_CTYPE"} == set()
    assert session == child.pid
    assert folder == "/"
    assert limits["Max file size"] == "0"
    assert limits["Max core file size"] == "0"
    assert limits["Max processes"] == "0"
    assert int(limits["Max open files"]) <= 32
    assert int(limits["Max address space"]) < 2048 * MIB


def test_child_ends_with_its_sandbox():
    with Sandbox(HEAD + "    return records\n") as sandbox:
        sandbox.transform([])
        pid = pid_of(sandbox)

    assert not psutil.pid_exists(pid)


def test_child_dies_with_its_worker():
    program = f"""
import sys, time
from apps.services.sandbox.process import Sandbox
sandbox = Sandbox({HEAD + "    return records"!r})
sandbox.transform([])
print(sandbox._child._process.pid, flush=True)
time.sleep(60)
"""
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with worker:
        pid = int(worker.stdout.readline())
        worker.kill()

    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the child outlived its worker"
        time.sleep(0.05)

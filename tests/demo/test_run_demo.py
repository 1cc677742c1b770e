"""`make run` on a free port with an empty data directory: start, use, and stop."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.documents import code_blocks
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
RUN_DEMO = (sys.executable, str(ROOT / "manage.py"), "run_demo")
SERVICES = ["demo-confirmations", "demo-invoices", "demo-meter-readings", "demo-orders"]


class Demo:
    """A running `run_demo` and its output."""

    def __init__(self, environment, output):
        self.started = time.monotonic()
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                RUN_DEMO, env=environment, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
            )
        self.output = output

    def wait_for_welcome(self):
        while "curl" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() - self.started < 90, self.text
            time.sleep(0.1)

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(30)

    def printed_value(self, name):
        return re.search(rf"^ +{name} +(\S+)$", self.text, re.MULTILINE)[1]

    @property
    def text(self):
        return self.output.read_text()

    @property
    def curl(self):
        return next(line for line in self.text.splitlines() if line.startswith("curl "))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment of the demo without any configuration, as on a new machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**inherited, "SYNCLOG_DATA_DIR": str(tmp_path_factory.mktemp("demo")), "PORT": str(port)}


@pytest.fixture
def demo(environment, tmp_path):
    demo = Demo(environment, tmp_path / "output.txt")
    yield demo
    if demo.process.poll() is None:
        demo.stop()


def run_in_shell(line):
    return subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout


def run_documented_commands(environment, token, folder):
    """Runs every `sh` example of README and handbook in `folder` against the demo."""
    (folder / "manage.py").symlink_to(ROOT / "manage.py")
    (folder / "services.yaml").write_text("services: {nightly: {kind: reported, name: Nightly import}}")
    environment = environment | {
        "TOKEN": token,
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
    }
    # Reports need the service that is loaded; `doctor` passes after the first run of the scheduler, within ten seconds.
    blocks = sorted(code_blocks("sh"), key=lambda one: ("doctor" in one[1], "load_services" not in one[1]))
    for name, block in blocks:
        script = block.replace("127.0.0.1:8000", f"127.0.0.1:{environment['PORT']}").replace(
            "curl ", "curl -sSf "
        )
        for _attempt in range(10):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            if done.returncode == 0 or "doctor" not in block:
                break
            time.sleep(1)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def processes_of(data_dir):
    """Returns the IDs of processes with this data directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"SYNCLOG_DATA_DIR={data_dir}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def test_demo_starts_runs_the_documented_commands_and_stops(demo, environment, tmp_path):
    demo.wait_for_welcome()
    api = f"http://127.0.0.1:{environment['PORT']}/api/v1"
    token = {"Authorization": f"Bearer {demo.printed_value('API token')}"}

    fetched = run_in_shell(demo.curl)
    payload = requests.get(
        demo.printed_value("Payload").removesuffix("download/"), headers=token, timeout=10
    ).json()
    services = requests.get(f"{api}/services/", headers=token, timeout=10).json()["results"]
    run = requests.get(f"{api}/runs/{payload['run']}/", headers=token, timeout=10).json()

    assert len(json.loads(fetched)["orders"]) == 100
    assert hashlib.sha256(fetched).hexdigest() == payload["sha256"]
    assert sorted(service["slug"] for service in services) == SERVICES
    assert (run["status"], run["pulled_count"], run["pushed_count"]) == ("succeeded", 250, 250)
    assert (run["warning_count"], run["error_count"]) == (1, 0)
    # The scheduler notes the problem of the failed run within ten seconds; an example changes it.
    wait_until(lambda: requests.get(f"{api}/problems/", headers=token, timeout=10).json()["results"])
    mail = wait_until(lambda: next(Path(environment["SYNCLOG_DATA_DIR"], "mail").glob("*.log"), None))
    assert f"http://127.0.0.1:{environment['PORT']}/admin/runs/run/" in wait_until(mail.read_text)
    run_documented_commands(environment, demo.printed_value("API token"), tmp_path)
    assert demo.stop(signal.SIGINT) == 0
    assert processes_of(environment["SYNCLOG_DATA_DIR"]) == []


def test_demo_reports_port_in_use_in_one_line(environment):
    with socket.create_server(("127.0.0.1", int(environment["PORT"]))):
        done = subprocess.run(RUN_DEMO, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"CommandError: Port {environment['PORT']} of 127.0.0.1 is in use; stop what uses it, "
        f"or choose another: PORT={int(environment['PORT']) + 1} make run"
    ]

"""Builds the image, upgrades to it from an older commit during a run, and restarts each service during a run."""

import argparse
import io
import secrets
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import check_output

from tests.containers import story
from tests.containers.composition import Composition, docker, image_mb
from tests.containers.stand_ins import build_stand_ins
from tests.servers.base import free_ports
from tests.stack import ROOT, revision_before_migration

IMAGE, PREVIOUS_IMAGE = "synclog:test", "synclog:test-previous"
# What the image may add to its base.
MAX_ADDED_MB = 350
SECRETS = ("database_password", "aws_secret_access_key", "django_secret_key")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__)
    parser.add_argument(
        "--stand-ins", action="store_true", help="build missing images from Debian and wheels"
    )
    parser.add_argument(
        "--from",
        dest="revision",
        default=revision_before_migration(),
        help="commit to upgrade from (the one before the newest migration of runs)",
    )
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synclog-containers-") as folder:
        try:
            _verify(Path(folder), options.revision, with_stand_ins=options.stand_ins)
        except AssertionError as error:
            print(f"FAIL: {error}")
            return 1
    print(f"PASS in {time.monotonic() - began:.0f} s")
    return 0


def _verify(folder: Path, revision: str, *, with_stand_ins: bool) -> None:
    previous = _export(revision, folder / "previous")
    if with_stand_ins:
        dockerfiles = [(source / "Dockerfile").read_text() for source in (ROOT, previous)]
        _step("build stand-ins", lambda: build_stand_ins(dockerfiles))
    _step(f"build the image of {revision}", lambda: _build(previous, PREVIOUS_IMAGE))
    _step("build the image", lambda: _build(ROOT, IMAGE))
    _step("measure the image", lambda: _check_size((ROOT / "Dockerfile").read_text()))
    with _composition(folder) as composition:
        _step(f"start {revision}", lambda: _start(composition))
        _step("create superuser, token and services", lambda: story.prepare(composition))
        _step("upgrade during a run", lambda: _upgrade(composition))
        _step("run with payloads; pages and readiness", lambda: _tell(composition))
        _step("confinement of every container", lambda: story.check_confinement(composition))
        _step("memory at rest, under load, and its limit", lambda: story.check_memory(composition))
        for service in composition.services():
            if service != "systems":
                _step(f"restart {service} during a run", lambda name=service: _restart(composition, name))
        _step("stop", lambda: composition.compose("stop"))


def _step(name: str, action: Callable[[], str | None]) -> None:
    print(f"{name} …", end=" ", flush=True)
    began = time.monotonic()
    result = action()
    print(f"{time.monotonic() - began:.1f} s{f': {result}' if result else ''}", flush=True)


def _export(revision: str, folder: Path) -> Path:
    """Files of the revision."""
    archive = check_output(["git", "archive", revision], cwd=ROOT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def _build(source: Path, image: str) -> None:
    docker("build", "--quiet", "--tag", image, str(source))


def _check_size(dockerfile: str) -> str:
    base = dockerfile.partition("FROM ")[2].split()[0]
    added = image_mb(IMAGE) - image_mb(base)
    assert added <= MAX_ADDED_MB, f"the image adds {added:.0f} MB to its base"
    return f"{added:.0f} MB above its base"


@contextmanager
def _composition(folder: Path) -> Iterator[Composition]:
    """The composition with new secrets; it is removed with its volumes at the end."""
    for name in SECRETS:
        (folder / name).write_text(secrets.token_urlsafe(32))
    # The users in the containers must be able to read them.
    folder.chmod(0o755)
    composition = Composition(PREVIOUS_IMAGE, folder, free_ports(1)[0])
    try:
        yield composition
    finally:
        composition.compose("down", "--volumes", "--timeout=5")


def _start(composition: Composition) -> None:
    composition.compose("up", "--detach", "--no-build")
    composition.wait_until_healthy()


def _upgrade(composition: Composition) -> str:
    """Migrates while the old processes work, then replaces them as the handbook describes."""
    run = story.PushingRun.start(composition)
    composition.image = IMAGE
    output = composition.compose("run", "--rm", "--no-deps", "prepare")
    composition.compose(
        "up", "--detach", "--no-build", "--no-deps", "web", "worker", "housekeeping", "scheduler"
    )
    composition.wait_until_healthy()
    return f"{output.count(' OK')} migrations; {run.check()}"


def _tell(composition: Composition) -> str:
    number = story.start_run(composition, "quick")
    run = story.check_run(composition, number, 25)
    story.check_pages(composition)
    return f"run {number}, {run['line_count']} lines"


def _restart(composition: Composition, service: str) -> str:
    run = story.PushingRun.start(composition)
    composition.compose("restart", service)
    outcome = run.check()
    composition.wait_until_healthy()
    return outcome


if __name__ == "__main__":
    sys.exit(main())

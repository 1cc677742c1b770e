"""Real servers for tests, fault tests and benchmarks: PostgreSQL, Redis and S3, each from a wheel.

    with PostgresServer() as postgres, RedisServer() as redis, S3Server() as s3:
        env = postgres.env | redis.env | s3.env

Each keeps its data in a temporary folder that goes when the block ends, and dies with the process that started it.
`kill` ends a server as a power cut would; `start` brings it up again at the same address with the data it had.
"""

from tests.servers.base import Server, ServerDidNotStart
from tests.servers.postgresql import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server

__all__ = ("PostgresServer", "RedisServer", "S3Server", "Server", "ServerDidNotStart")

"""Cache for the limits of logins, which must work while Redis does not respond."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

logger = logging.getLogger(__name__)

# Time without Redis after an error, so that its timeout does not delay every call.
_PAUSE_SECONDS = 10


class FailoverCache(RedisCache):
    """Redis, or the files of this host while Redis does not respond."""

    _paused_until = 0.0

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        files = params["FILES"]
        self._files: BaseCache = FileBasedCache(files["LOCATION"], files)

    def add(self, *args: Any, **options: Any) -> bool:
        return bool(self._call(super().add, self._files.add, *args, **options))

    def get(self, *args: Any, **options: Any) -> Any:
        return self._call(super().get, self._files.get, *args, **options)

    def set(self, *args: Any, **options: Any) -> None:
        self._call(super().set, self._files.set, *args, **options)

    def delete(self, *args: Any, **options: Any) -> bool:
        return bool(self._call(super().delete, self._files.delete, *args, **options))

    def _call(self, redis: Callable[..., Any], files: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if time.monotonic() >= self._paused_until:
            try:
                return redis(*args, **options)
            except RedisError as error:
                # Shared by the threads of the process, each of which has its own cache object.
                type(self)._paused_until = time.monotonic() + _PAUSE_SECONDS
                logger.warning(
                    "Limits of logins are counted by this host only for %d s: %s", _PAUSE_SECONDS, error
                )
        return files(*args, **options)

"""Kombu's broker in a folder, with messages that appear complete."""

import uuid
from pathlib import Path
from time import monotonic
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: dict[str, Any], **_options: Any) -> None:  # type: ignore[override]
        """Kombu writes a message under its final name, so that a worker may read a part of it, and dies."""
        final = Path(self.data_folder_out, f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg")
        draft = final.with_suffix(".draft")
        try:
            draft.write_text(dumps(payload))  # type: ignore[no-untyped-call]
            draft.rename(final)
        except OSError as error:
            raise ChannelError(f"The message cannot be written to {final}.") from error


class Transport(filesystem.Transport):
    Channel = Channel

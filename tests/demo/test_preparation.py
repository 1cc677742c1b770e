"""Before the start of the demo: free port, single instance, static files."""

import socket

import pytest

from apps.demo import preparation
from apps.demo.preparation import (
    StartError,
    ensure_port_is_free,
    hold_start_lock,
    prepare_static_files,
)


def test_port_in_use_error_names_another_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartError) as caught:
            ensure_port_is_free("127.0.0.1", port)

    assert str(caught.value) == (
        f"Port {port} of 127.0.0.1 is in use; stop what uses it, or choose another: PORT={port + 1} make run"
    )


def test_port_check_leaves_the_port_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    ensure_port_is_free("127.0.0.1", port)

    socket.create_server(("127.0.0.1", port)).close()


def test_second_start_in_the_same_folder_is_rejected(tmp_path):
    with (
        hold_start_lock(tmp_path / "demo.lock"),
        pytest.raises(StartError, match="used by another running demo"),
        hold_start_lock(tmp_path / "demo.lock"),
    ):
        pass

    with hold_start_lock(tmp_path / "demo.lock"):
        pass


def test_static_files_are_collected_again_only_after_a_change(settings, monkeypatch, tmp_path):
    settings.DATA_DIR, settings.STATIC_ROOT = tmp_path, tmp_path
    collected = []
    monkeypatch.setattr(preparation, "call_command", lambda *names, **_options: collected.append(names))

    prepare_static_files()
    prepare_static_files()
    assert collected == [("collectstatic",)]
    monkeypatch.setattr(preparation, "get_finders", list)
    prepare_static_files()
    assert collected == [("collectstatic",)] * 2

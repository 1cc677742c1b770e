"""Sandbox for custom scripts: Starlark in a child process with limits, without files, network and secrets.

May import `exact_json`, and nothing of the other packages.
"""

from apps.services.sandbox.limits import Limits, ScriptError
from apps.services.sandbox.process import Sandbox, check_script

__all__ = ("Limits", "Sandbox", "ScriptError", "check_script")

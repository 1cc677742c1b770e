"""Custom scripts: Starlark in a child process that has limits, no input, no output and no secrets."""

from apps.services.sandbox.limits import Limits, ScriptError
from apps.services.sandbox.process import Sandbox, check_script

__all__ = ("Limits", "Sandbox", "ScriptError", "check_script")

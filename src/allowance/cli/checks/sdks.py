"""The SDKs: which are installed, and whether each place where they are metered is there.

Each is imported in a process of its own. That is the only way to know; it takes seconds, and must not
change this process. There, LiteLLM is told to fetch nothing, and Python to write no compiled files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from allowance.cli.checks.check import Check
from allowance.sdks import coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["sdk_checks"]

_MODULES: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google-genai": "google.genai",
    "litellm": "litellm",
    "groq": "groq",
    "boto3": "boto3",
    "mistralai": "mistralai.client.chat mistralai.chat",
    "ollama": "ollama",
    "cohere": "cohere.v2.client",
}
"""What is imported to know: the first of several names that is there."""
_PATIENCE: Final = 60
_PROGRAM: Final = """
import importlib, json, sys
from allowance.calls.sdk_meter import SdkMeter
from allowance.sdks import coverage, instrument
instrument(SdkMeter())
for name in sys.argv[1].split():
    try:
        importlib.import_module(name)
        break
    except ModuleNotFoundError as error:
        missing = error
else:
    raise missing
found = {one.sdk: one for one in coverage()}[sys.argv[2]]
sys.__stdout__.write("\\n" + json.dumps([found.covered, found.detail]))
"""


def sdk_checks(*, quick: bool = False) -> Iterator[Check]:
    """One check for each SDK that is supported; with ``quick`` none is imported."""
    if os.environ.get("ALLOWANCE_INSTRUMENT", "1") == "0":
        yield Check(
            "metering",
            "note",
            "ALLOWANCE_INSTRUMENT=0: the SDKs are left alone, and only decorated functions are counted.",
            "Unset it to have every SDK call inside a budget counted.",
        )
        return
    versions = {known.sdk: known.version for known in coverage()}
    trials = {sdk: _begin(sdk) for sdk, version in versions.items() if version and not quick}
    for sdk, version in versions.items():
        if version is None:
            yield Check(sdk, "ok", "not installed")
        elif sdk in trials:
            yield _judged(sdk, version, trials[sdk])
        else:
            yield Check(sdk, "ok", f"{version}; not tried (--quick)")


def _begin(sdk: str) -> subprocess.Popen[str]:
    """Import it, beside the others: that takes a second or more for each."""
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.Popen(  # noqa: S603  # our own interpreter, and the program above
        [sys.executable, "-c", _PROGRAM, _MODULES[sdk], sdk],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet},
    )


def _judged(sdk: str, version: str, trial: subprocess.Popen[str]) -> Check:
    try:
        output, errors = trial.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.communicate()
        return Check(sdk, "note", f"{version}; importing it took longer than {_PATIENCE} seconds.")
    try:
        covered, detail = json.loads(output.rpartition("\n")[2])
    except ValueError:
        last = errors.strip().rpartition("\n")[2][:200]
        return Check(sdk, "problem", f"{version} cannot be imported: {last}", f"pip install --upgrade {sdk}")
    if covered:
        return Check(sdk, "ok", f"{version}, metered. {detail}")
    return Check(
        sdk,
        "problem",
        f"{version}: calls of this version are not all metered. {detail}",
        f"Install another version of {sdk}, or decorate the functions that call it: @budgeted().",
    )

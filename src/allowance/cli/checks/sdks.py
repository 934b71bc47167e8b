"""The SDKs: which are installed, and whether each place where they are metered is there.

Each is imported in a process of its own. That is the only way to know; it takes seconds, and must not
change this process. There, LiteLLM is told to fetch nothing, and Python to write no compiled files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
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
    "mistralai": "mistralai.client.chat mistralai.chat mistralai",
    "ollama": "ollama",
    "cohere": "cohere.v2.client cohere",
}
"""What is imported to know: the first of several names that is there."""
_FRAMEWORKS: Final = (
    "langchain-openai", "langchain-anthropic", "langchain-google-genai", "langchain-aws", "langchain-groq",
    "langchain-mistralai", "langchain-cohere", "langchain-ollama", "langchain-litellm",
    "llama-index-llms-openai", "llama-index-llms-anthropic", "llama-index-llms-google-genai",
    "pydantic-ai-slim", "openai-agents", "instructor", "crewai", "dspy", "smolagents", "autogen-ext",
)  # fmt: skip
"""They make their calls with the SDKs above."""
_STRANGERS: Final = (
    "google-generativeai", "google-cloud-aiplatform", "aiobotocore", "azure-ai-inference", "together",
    "fireworks-ai", "replicate", "xai-sdk", "ai21", "dashscope", "ibm-watsonx-ai",
)  # fmt: skip
"""They make calls to models with clients of their own, which nothing meters."""
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
sys.__stdout__.write("\\n" + json.dumps([found.covered, found.detail, found.tried]))
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
    trials = {sdk: _begin(sdk) for sdk, installed in versions.items() if installed and not quick}
    for sdk, installed in versions.items():
        if installed is None:
            yield Check(sdk, "ok", "not installed")
        elif sdk in trials:
            yield _judged(sdk, installed, trials[sdk])
        else:
            yield Check(sdk, "ok", f"{installed}; not tried (--quick)")
    yield from _others()


def _others() -> Iterator[Check]:
    """What else is installed that calls models: through the SDKs above, or past them."""
    if through := _installed(_FRAMEWORKS):
        yield Check("frameworks", "ok", f"{through}: metered where they call the SDKs above")
    if past := _installed(_STRANGERS):
        yield Check(
            "others",
            "note",
            f"{past}: calls through them are not metered.",
            "Decorate the functions that call them: @budgeted().",
        )


def _installed(distributions: tuple[str, ...]) -> str:
    found = []
    for name in distributions:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


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


def _judged(sdk: str, installed: str, trial: subprocess.Popen[str]) -> Check:
    try:
        output, errors = trial.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.communicate()
        return Check(sdk, "note", f"{installed}; importing it took longer than {_PATIENCE} seconds.")
    try:
        covered, detail, tried = json.loads(output.rpartition("\n")[2])
    except ValueError:
        last = errors.strip().rpartition("\n")[2][:200]
        return Check(
            sdk, "problem", f"{installed} cannot be imported: {last}", f"pip install --upgrade {sdk}"
        )
    if covered and tried:
        return Check(sdk, "ok", f"{installed}, metered. {detail}")
    if covered:
        return Check(
            sdk,
            "note",
            f"{installed}, metered as the versions that are known. {detail}",
            "Compare what a call costs with what its reply says, or install a version that was tested.",
        )
    return Check(
        sdk,
        "problem",
        f"{installed}: calls of this version are not all metered. {detail}",
        f"Install another version of {sdk}, or decorate the functions that call it: @budgeted().",
    )

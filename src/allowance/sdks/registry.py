"""Patching all the SDKs, now or when they are imported, and saying what came of it."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

import wrapt

from allowance.sdks import (
    anthropic,
    bedrock,
    cohere,
    current,
    google_genai,
    groq,
    litellm,
    mistralai,
    ollama,
    openai,
)
from allowance.sdks.points import MissingPointError

if TYPE_CHECKING:
    from types import ModuleType

    from allowance.calls.sdk_call import Meter
    from allowance.sdks.points import Point

__all__ = ["Coverage", "coverage", "instrument", "uninstrument"]

_log = logging.getLogger("allowance.sdks")

_SDKS: dict[str, tuple[Point, ...]] = {
    "openai": openai.POINTS,
    "anthropic": anthropic.POINTS,
    "google-genai": google_genai.POINTS,
    "litellm": litellm.POINTS,
    "groq": groq.POINTS,
    "boto3": bedrock.POINTS,
    "mistralai": mistralai.POINTS,
    "ollama": ollama.POINTS,
    "cohere": cohere.POINTS,
}
"""By the name of the distribution."""

_NOT_METERED = {
    "openai": openai.NOT_METERED,
    "anthropic": anthropic.NOT_METERED,
    "google-genai": google_genai.NOT_METERED,
    "litellm": litellm.NOT_METERED,
    "groq": groq.NOT_METERED,
    "boto3": bedrock.NOT_METERED,
    "mistralai": mistralai.NOT_METERED,
    "ollama": ollama.NOT_METERED,
    "cohere": cohere.NOT_METERED,
}


class Coverage(NamedTuple):
    """How far the calls of one SDK are metered in this process.

    ``covered`` is True once the SDK is imported and every essential place in it is patched; ``detail``
    says what is missing, and what of this SDK is never metered.
    """

    sdk: str
    version: str | None
    covered: bool
    detail: str


class _Patches:
    """What is patched in this process. All of it is guarded by one lock, under which nothing is imported."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._hooked: set[str] = set()
        self._applied: set[Point] = set()
        self._missing: dict[Point, str] = {}
        self._on = False

    def turn_on(self, meter: Meter) -> None:
        with self._lock:
            current.set_meter(meter)
            self._on = True
        for name in dict.fromkeys(point.module for points in _SDKS.values() for point in points):
            self._prepare(name)

    def turn_off(self) -> None:
        with self._lock:
            current.set_meter(None)
            self._on = False
            for point in self._applied:
                point.undo()
            self._applied.clear()
            self._missing.clear()

    def _prepare(self, name: str) -> None:
        module = sys.modules.get(name)
        if module is None:
            with self._lock:
                new = name not in self._hooked
                self._hooked.add(name)
            if new:
                wrapt.register_post_import_hook(self._imported, name)
            return
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            # Another thread is importing it: this waits for its end. Nothing new is imported.
            importlib.import_module(name)
        self._patch(module)

    def _imported(self, module: ModuleType) -> None:
        with self._lock:
            self._hooked.discard(module.__name__)
            on = self._on
        if on:
            self._patch(module)

    def _patch(self, module: ModuleType) -> None:
        with self._lock:
            for point in (p for points in _SDKS.values() for p in points if p.module == module.__name__):
                try:
                    point.apply(module)
                except MissingPointError as missing:
                    if point not in self._missing:
                        level = logging.WARNING if point.essential else logging.DEBUG
                        _log.log(level, "%s is missing: calls through it are not metered.", missing)
                    self._missing[point] = point.name
                else:
                    self._missing.pop(point, None)
                    self._applied.add(point)

    def coverage(self, sdk: str) -> Coverage:
        points = _SDKS[sdk]
        version = _version(sdk)
        with self._lock:
            applied = [point for point in points if point in self._applied]
            missing = [point for point in points if point in self._missing]
            on = self._on
        never = f"Not metered: {_NOT_METERED[sdk]}."
        if version is None:
            return Coverage(sdk, None, False, "It is not installed.")
        if not on:
            return Coverage(sdk, version, False, "Nothing is instrumented.")
        if not applied and not missing:
            return Coverage(sdk, version, False, f"It is not imported yet; it is metered once it is. {never}")
        lacks = f"It lacks {', '.join(point.name for point in missing)}. " if missing else ""
        covered = bool(applied) and not any(point.essential for point in missing)
        return Coverage(sdk, version, covered, lacks + never)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


_patches = _Patches()


def instrument(meter: Meter) -> None:
    """Send the calls of every supported SDK through this meter, of those imported later too.

    It may be called again, from any thread: a new meter takes the place of the old one. It imports no
    SDK and raises nothing: what an SDK's version lacks is logged, and told by `coverage`.
    """
    _patches.turn_on(meter)


def uninstrument() -> None:
    """Put the SDKs' own functions back. Calls that are under way stay with their meter."""
    _patches.turn_off()


def coverage() -> list[Coverage]:
    """How far each supported SDK is metered in this process, by the SDKs' names."""
    return [_patches.coverage(sdk) for sdk in _SDKS]

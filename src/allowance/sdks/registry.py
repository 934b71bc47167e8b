"""Patching all the SDKs, now or when they are imported, and saying what came of it."""

from __future__ import annotations

import _thread
import importlib
import importlib.metadata
import logging
import os
import re
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from allowance.calls import ready
from allowance.calls.callees import tell_callees
from allowance.calls.sdk_meter import SdkMeter
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
from allowance.sdks.callees import callee
from allowance.sdks.imports import Watch, is_lazy, is_under_way
from allowance.sdks.points import MissingPointError

if TYPE_CHECKING:
    from types import ModuleType

    from allowance.calls.sdk_call import Meter
    from allowance.sdks.points import Point

__all__ = ["Coverage", "coverage", "instrument", "uninstrument"]

_log = logging.getLogger("allowance.sdks")


class _Sdk(NamedTuple):
    """What is known of one SDK: the package that it is, and the oldest and the newest version tried."""

    package: str
    points: tuple[Point, ...]
    not_metered: str
    oldest: str
    newest: str


_SDKS = {
    "openai": _Sdk("openai", openai.POINTS, openai.NOT_METERED, "1.0", "3.54"),
    "anthropic": _Sdk("anthropic", anthropic.POINTS, anthropic.NOT_METERED, "0.46", "2.12"),
    "google-genai": _Sdk("google.genai", google_genai.POINTS, google_genai.NOT_METERED, "1.0", "3.4"),
    "litellm": _Sdk("litellm", litellm.POINTS, litellm.NOT_METERED, "1.60", "1.106"),
    "groq": _Sdk("groq", groq.POINTS, groq.NOT_METERED, "0.9", "1.7"),
    "boto3": _Sdk("boto3", bedrock.POINTS, bedrock.NOT_METERED, "1.38", "1.44"),
    "mistralai": _Sdk("mistralai", mistralai.POINTS, mistralai.NOT_METERED, "1.2", "3.7"),
    "ollama": _Sdk("ollama", ollama.POINTS, ollama.NOT_METERED, "0.4", "0.6"),
    "cohere": _Sdk("cohere", cohere.POINTS, cohere.NOT_METERED, "5.21", "7.3"),
}
"""By the name of the distribution. ``python -m tests.sdks.versions`` tries the versions."""

_POINTS_OF = {
    name: tuple(point for sdk in _SDKS.values() for point in sdk.points if point.module == name)
    for name in dict.fromkeys(point.module for sdk in _SDKS.values() for point in sdk.points)
}
_MODULES = frozenset(_POINTS_OF)


class Coverage(NamedTuple):
    """How far the calls of one SDK are metered in this process.

    ``covered`` is True once the SDK is imported and every essential place in it is patched; ``detail``
    says what is missing, and what of this SDK is never metered. ``tried`` is False for a version that is
    older than those that allowance was tested with, or of a later series.
    """

    sdk: str
    version: str | None
    covered: bool
    detail: str
    tried: bool = True


class _Patches:
    """What is patched in this process. One lock guards it: nothing is imported or logged while it is held."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._applied: set[Point] = set()
        self._missing: set[Point] = set()
        self._on = False
        self._watch = Watch(_MODULES, self._loaded)

    def turn_on(self, meter: Meter | None) -> None:
        with self._lock:
            current.set_meter(meter)
            tell_callees(callee)
            self._on = True
            self._watch.start()
        for name in _MODULES:
            self._prepare(name)

    def turn_off(self) -> None:
        with self._lock:
            current.set_meter(None)
            tell_callees(None)
            self._on = False
            self._watch.stop()
            for point in self._applied:
                point.undo()
            self._applied.clear()
            self._missing.clear()

    def _prepare(self, name: str) -> None:
        module: Any = sys.modules.get(name)
        if module is not None and is_lazy(module):
            self._watch.follow(object.__getattribute__(module, "__spec__").loader)
            return
        if is_under_way(module):
            # Another thread imports it: this waits for its end, whatever that is. It imports nothing else.
            with suppress(Exception):
                importlib.import_module(name)
            module = sys.modules.get(name)
        if is_under_way(module):
            # This very thread imports it, further up. A thread of its own can wait for that.
            _thread.start_new_thread(self._prepare, (name,))
        elif module is not None:
            self._loaded(name, module)

    def _loaded(self, name: str, module: ModuleType) -> None:
        """Patch a module. Whatever it is like, nothing is raised: this is somebody else's import."""
        new: list[tuple[Point, Exception]] = []
        with self._lock:
            for point in _POINTS_OF[name] if self._on else ():
                try:
                    point.apply(module)
                except Exception as error:  # noqa: BLE001 - a stub, or a module like none known
                    if point not in self._missing:
                        new.append((point, error))
                    self._missing.add(point)
                else:
                    self._missing.discard(point)
                    self._applied.add(point)
        for point, reason in new:
            level = logging.WARNING if point.essential else logging.DEBUG
            why = "is missing" if isinstance(reason, MissingPointError) else f"cannot be patched ({reason!r})"
            place = f"{point.module}.{point.name}"
            _log.log(level, "%s %s: calls through it are not metered.", place, why)

    def coverage(self, sdk: str) -> Coverage:
        package, points, not_metered, oldest, newest = _SDKS[sdk]
        version = _version(sdk)
        with self._lock:
            applied = [point for point in points if point in self._applied]
            missing = [point for point in points if point in self._missing]
            on = self._on
        if version is None:
            return Coverage(sdk, None, False, "It is not installed.")
        tried = _was_tried(version, oldest, newest)
        if not on:
            return Coverage(sdk, version, False, "Nothing is instrumented.", tried)
        covered = any(point.essential for point in applied) and not any(point.essential for point in missing)
        says = [] if tried else [f"Tested with {oldest} to {newest}."]
        if missing:
            says.append(f"It lacks {', '.join(point.name for point in missing)}.")
        elif not covered and package in sys.modules:
            says.append("None of what is metered of it is loaded.")
        elif not covered:
            says.append("It is not imported yet; it is metered once it is.")
        says.append(f"Not metered: {not_metered}.")
        return Coverage(sdk, version, covered, " ".join(says), tried)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _was_tried(version: str, oldest: str, newest: str) -> bool:
    """Whether a version is neither older than the oldest tried, nor of a later series than the newest."""
    series = 2 if newest.startswith("0.") else 1
    return _numbers(oldest) <= _numbers(version) and _numbers(version)[:series] <= _numbers(newest)[:series]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


_patches = _Patches()


def instrument(meter: Meter | None = None) -> None:
    """Have the calls of every supported SDK counted by the budgets around them, of SDKs imported later too.

    The first budget does this. It may be called again, from any thread: it patches what is not patched
    yet. It imports no SDK and raises nothing: what an SDK's version lacks is logged, and told by
    ``allowance doctor``. With ``ALLOWANCE_INSTRUMENT=0`` in the environment it does nothing.

    Args:
        meter: what the calls go through, in place of budgets.
    """
    if os.environ.get("ALLOWANCE_INSTRUMENT", "1") != "0":
        _patches.turn_on(SdkMeter() if meter is None else meter)


def uninstrument() -> None:
    """Put the SDKs' own functions back, until `instrument` is called: no budget does it by itself any more.

    Only decorated functions are counted then. Calls that are under way stay with their budgets.
    """
    ready.prepare()  # now, lest the first budget do it
    _patches.turn_off()


def coverage() -> list[Coverage]:
    """How far each supported SDK is metered in this process, by the SDKs' names."""
    return [_patches.coverage(sdk) for sdk in _SDKS]

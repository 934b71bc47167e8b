"""Every place in every SDK: patched once, put back as it was, and shared with others who patch it too."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import wrapt

from allowance import sdks
from allowance.sdks import registry
from allowance.sdks.points import AttributePoint, CellPoint, Point, _cell
from tests.provider import Provider

from .recorder import Recorder
from .version_calls import FORMS

ALL = sorted(FORMS)

# Clients of many SDKs are made here, and none is closed: each SDK closes in a way of its own.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


def imported(sdk: str) -> list[Point]:
    """The points of an SDK whose modules this version has, all of them loaded."""
    there = []
    for point in registry._SDKS[sdk].points:
        try:
            importlib.import_module(point.module)
        except ModuleNotFoundError:
            continue
        there.append(point)
    assert there, f"{sdk} is not here: pip install -e '.[test]'"
    return there


def held(point: Point) -> Any:
    """What stands in the place now; None where this version has no such place."""
    module = importlib.import_module(point.module)
    if isinstance(point, CellPoint):
        function = vars(module).get(point.name)
        cell = _cell(function, "original_function")
        return function if cell is None else cell.cell_contents
    assert isinstance(point, AttributePoint)
    owner, _, name = point.name.rpartition(".")
    return vars(vars(module)[owner]).get(name)


@pytest.mark.parametrize("sdk", ALL)
def test_every_place_is_patched_once_and_put_back_as_it_was(sdk: str) -> None:
    points = imported(sdk)
    before = [held(point) for point in points]
    for _ in range(2):
        threads = [threading.Thread(target=sdks.instrument, args=(Recorder(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sdks.instrument(Recorder())
        now = [held(point) for point in points]
        assert [getattr(each, "__wrapped__", None) for each in now] == before
        sdks.uninstrument()
        assert all(held(point) is then for point, then in zip(points, before, strict=True))


@pytest.mark.parametrize("sdk", ALL)
def test_a_patched_function_looks_as_the_sdks_own(sdk: str) -> None:
    def looks(function: Any) -> list[Any]:
        return [
            inspect.signature(function),
            inspect.isfunction(function),
            inspect.iscoroutinefunction(function),
            inspect.isgeneratorfunction(function),
            inspect.isasyncgenfunction(function),
            *(getattr(function, name) for name in ("__name__", "__qualname__", "__module__", "__doc__")),
            function.__annotations__,
        ]

    points = [point for point in imported(sdk) if held(point) is not None]
    before = [looks(held(point)) for point in points]
    sdks.instrument(Recorder())
    assert [looks(held(point)) for point in points] == before


@pytest.mark.parametrize("sdk", ALL)
def test_a_method_is_pickled_and_copied_as_before(sdk: str) -> None:
    """As multiprocessing does where a method is the target of a process."""

    def fate(function: Any) -> list[Any]:
        seen: list[Any] = []
        for do in (lambda: pickle.loads(pickle.dumps(function)), lambda: copy.deepcopy(function)):
            try:
                seen.append(do() is function)
            except Exception as error:
                seen.append(type(error))
        return seen

    points = [
        point
        for point in imported(sdk)
        if (now := held(point)) is not None
        and not inspect.isgeneratorfunction(now)  # stood in for by a proxy, that they may look like one
        and not inspect.isasyncgenfunction(now)
    ]
    before = [fate(held(point)) for point in points]
    sdks.instrument(Recorder())
    assert [fate(held(point)) for point in points] == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # halves of SDKs' own clients
@pytest.mark.parametrize("sdk", ALL)
def test_clients_are_copied_and_pickled_as_before(sdk: str, provider: Provider) -> None:
    client = inspect.getclosurevars(plain_call(sdk, provider)).nonlocals.get("client")

    def fate() -> list[Any]:
        seen: list[Any] = []
        for do in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
            try:
                seen.append(type(do(client)))
            except Exception as error:
                seen.append((type(error), str(error)))
        return seen

    before = fate()
    sdks.instrument(Recorder())
    assert fate() == before


def plain_call(sdk: str, provider: Provider) -> Callable[[], str]:
    form: Any = FORMS[sdk](provider.url)["plain"]
    return form


class Theirs(NamedTuple):
    """A patch of somebody else's, in the place where each SDK is usually patched."""

    owner: Any
    name: str
    make: Callable[[Any, list[int]], Any]

    def put(self, seen: list[int]) -> tuple[Any, Any]:
        """What stood there, as they saved it, and what they put there."""
        saved = inspect.getattr_static(self.owner, self.name)
        theirs = self.make(saved, seen)
        setattr(self.owner, self.name, theirs)
        return saved, theirs


def by_wrapt(original: Any, seen: list[int]) -> Any:
    """As OpenTelemetry and most tracers do."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        assert instance is not None or original.__name__ == "completion"  # which is no method
        seen.append(1)
        return wrapped(*args, **kwargs)

    return wrapt.FunctionWrapper(original, wrapper)


def by_functools(original: Any, seen: list[int]) -> Any:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        return original(*args, **kwargs)

    return wrapper


def bare(original: Any, seen: list[int]) -> Any:
    """As a test's monkeypatch does: nothing tells what it wraps."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        return original(*args, **kwargs)

    return wrapper


@pytest.fixture(params=[by_wrapt, by_functools, bare])
def theirs(request: pytest.FixtureRequest, sdk: str) -> Theirs:
    if sdk == "litellm":
        return Theirs(importlib.import_module("litellm"), "completion", request.param)
    names = {"google-genai": "Models._generate_content", "cohere": "RawV2Client.chat"}
    point = next(each for each in imported(sdk) if each.name == names.get(sdk, each.name))
    owner, _, name = point.name.rpartition(".")
    return Theirs(getattr(importlib.import_module(point.module), owner), name, request.param)


class Seen:
    """Makes a call, and says how many they saw and how many we metered."""

    def __init__(self, sdk: str, provider: Provider) -> None:
        self.theirs: list[int] = []
        self.recorder = Recorder()
        call = plain_call(sdk, provider)
        # LiteLLM's function is imported by name: that finds what stands in the module now.
        self._ask = (lambda: plain_call(sdk, provider)()) if sdk == "litellm" else call

    def __call__(self) -> tuple[int, int]:
        before = len(self.theirs), len(self.recorder.calls)
        assert self._ask() == "Hello, how can I help?"
        return len(self.theirs) - before[0], len(self.recorder.calls) - before[1]


@pytest.fixture
def seen(sdk: str, provider: Provider) -> Seen:
    imported(sdk)
    return Seen(sdk, provider)


@pytest.mark.parametrize("sdk", ALL)
def test_they_patch_over_us_and_leave_first(sdk: str, theirs: Theirs, seen: Seen) -> None:
    plain = vars(theirs.owner)[theirs.name]
    sdks.instrument(seen.recorder)
    saved, _ = theirs.put(seen.theirs)
    assert seen() == (1, 1)
    sdks.instrument(seen.recorder)
    assert seen() == (1, 1)
    setattr(theirs.owner, theirs.name, saved)
    assert seen() == (0, 1)
    sdks.uninstrument()
    assert seen() == (0, 0)
    assert vars(theirs.owner)[theirs.name] is plain


@pytest.mark.parametrize("sdk", ALL)
def test_they_patch_over_us_and_we_leave_first(sdk: str, theirs: Theirs, seen: Seen) -> None:
    plain = vars(theirs.owner)[theirs.name]
    sdks.instrument(seen.recorder)
    saved, _ = theirs.put(seen.theirs)
    sdks.uninstrument()
    assert seen() == (1, 0)
    sdks.instrument(seen.recorder)
    assert seen() == (1, 1)
    sdks.uninstrument()
    setattr(theirs.owner, theirs.name, saved)
    assert seen() == (0, 0)
    sdks.instrument(seen.recorder)
    assert seen() == (0, 1)
    sdks.uninstrument()
    assert vars(theirs.owner)[theirs.name] is plain


@pytest.mark.parametrize("sdk", ALL)
def test_they_patched_before_us_and_we_leave_first(sdk: str, theirs: Theirs, seen: Seen) -> None:
    saved, other = theirs.put(seen.theirs)
    try:
        sdks.instrument(seen.recorder)
        assert seen() == (1, 1)
        sdks.uninstrument()
        assert vars(theirs.owner)[theirs.name] is other
        assert seen() == (1, 0)
    finally:
        setattr(theirs.owner, theirs.name, saved)


@pytest.mark.parametrize("sdk", ALL)
def test_they_patched_before_us_and_leave_first(sdk: str, theirs: Theirs, seen: Seen) -> None:
    saved, _ = theirs.put(seen.theirs)
    sdks.instrument(seen.recorder)
    setattr(theirs.owner, theirs.name, saved)  # and with theirs, ours, which stood over it
    assert seen()[0] == 0
    sdks.instrument(seen.recorder)
    assert seen() == (0, 1)
    sdks.uninstrument()
    assert vars(theirs.owner)[theirs.name] is saved


@pytest.mark.parametrize("sdk", ALL)
def test_a_place_that_is_missing_is_told_once_and_the_rest_is_metered(
    sdk: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = imported(sdk)
    for gone in [point for point in points if point.essential]:
        with monkeypatch.context() as patch:
            caplog.clear()
            module = importlib.import_module(gone.module)
            owner, _, name = gone.name.rpartition(".")
            patch.delattr(vars(module)[owner] if owner else module, name)
            before = getattr(gone, "_names", (gone.name,))[1:]  # an older place that is there as well
            sdks.instrument(Recorder())
            sdks.instrument(Recorder())
            told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
            report = {each.sdk: each for each in sdks.coverage()}
            if before:
                assert told == []
            else:
                place = f"{gone.module}.{gone.name}"
                assert told == [f"{place} is missing: calls through it are not metered."]
                assert not report[sdk].covered
                assert gone.name in report[sdk].detail
            rest = [point for point in points if point is not gone and held(point) is not None]
            assert all(hasattr(held(point), "__wrapped__") for point in rest)
            sdks.uninstrument()

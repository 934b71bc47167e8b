"""Modules in every state that an import can leave them in: patched once they are there, and never harmed.

The SDK here is a small one of ollama's names, in a process of its own: what is tried is the import.
"""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from allowance import sdks
from allowance.sdks import registry
from tests.calls.support import python

from .recorder import Recorder

SDK = """
class Client:
    def _request(self, cls, method, path, *, json=None, stream=False):
        return "sent"

class AsyncClient:
    async def _request(self, cls, method, path, *, json=None, stream=False):
        return "sent"
"""

BEGIN = """
import importlib, importlib.util, sys, threading
sys.path.insert(0, {folder!r})
from allowance import sdks
from tests.sdks.recorder import Recorder

recorder = Recorder()

def metered(client=None):
    "Whether a call is: and it is made, either way."
    module = importlib.import_module("ollama._client")
    before = len(recorder.calls)
    made = (client or module.Client())._request(None, "POST", "/api/chat", json={{"model": "m"}})
    assert made == "sent"
    return len(recorder.calls) - before
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "ollama"
    package.mkdir()
    (package / "__init__.py").write_text("from ollama._client import Client")
    (package / "_client.py").write_text(SDK)
    return tmp_path


def run(folder: Path, steps: str) -> None:
    python(BEGIN.format(folder=str(folder)) + steps)


def test_an_import_under_way_in_another_thread_is_waited_for(folder: Path) -> None:
    (folder / "ollama/_client.py").write_text(f"import gate; gate.begun.set(); gate.go.wait()\n{SDK}")
    (folder / "gate.py").write_text("import threading; begun = threading.Event(); go = threading.Event()")
    run(
        folder,
        """
import gate
importing = threading.Thread(target=importlib.import_module, args=("ollama",))
importing.start()
gate.begun.wait()
threading.Timer(0.05, gate.go.set).start()
sdks.instrument(recorder)
assert metered() == 1
importing.join()
""",
    )


def test_a_module_that_begins_metering_in_its_own_import_is_patched_at_its_end(folder: Path) -> None:
    """As where a tracer's hook opens a budget while the SDK is imported."""
    (folder / "ollama/_client.py").write_text(f"import meanwhile\n{SDK}")
    (folder / "meanwhile.py").write_text(
        "import __main__; from allowance import sdks; sdks.instrument(__main__.recorder)"
    )
    run(
        folder,
        """
import ollama, time
for _ in range(200):  # a thread waits for the end of the import
    if metered():
        break
    time.sleep(0.01)
assert metered() == 1
""",
    )


def test_an_import_that_fails_and_is_tried_again_is_patched(folder: Path) -> None:
    (folder / "ollama/_client.py").write_text(f"{SDK}\nimport needed")
    run(
        folder,
        f"""
sdks.instrument(recorder)
for _ in range(2):
    try:
        import ollama
    except ModuleNotFoundError as error:
        assert error.name == "needed"
    else:
        raise AssertionError("it failed to fail")
open({str(folder / "needed.py")!r}, "w").close()
importlib.invalidate_caches()
assert metered() == 1
""",
    )


def test_an_import_that_fails_in_another_thread_harms_nobody(folder: Path) -> None:
    (folder / "gate.py").write_text("import threading; begun = threading.Event(); go = threading.Event()")
    (folder / "ollama/_client.py").write_text(
        f"import gate; gate.begun.set(); gate.go.wait()\nif not gate.__dict__.get('well'): 1 / 0\n{SDK}"
    )
    run(
        folder,
        """
import gate
def fail():
    try:
        import ollama
    except ZeroDivisionError:
        pass
importing = threading.Thread(target=fail)
importing.start()
gate.begun.wait()
threading.Timer(0.05, gate.go.set).start()
sdks.instrument(recorder)
importing.join()
gate.well = True
assert metered() == 1
""",
    )


def test_a_reload_and_an_import_anew_are_patched_and_all_of_it_is_undone(folder: Path) -> None:
    run(
        folder,
        """
import ollama._client
first = ollama._client.Client
plain = first._request
sdks.instrument(recorder)
old = first()
second = importlib.reload(ollama._client).Client
assert second is not first
assert metered() == 1
del sys.modules["ollama"], sys.modules["ollama._client"]
assert metered() == metered(second()) == metered(old) == 1
sdks.uninstrument()
assert metered() == metered(second()) == metered(old) == 0
assert first._request is plain
third = sys.modules["ollama._client"].Client
assert not hasattr(second._request, "__wrapped__") and not hasattr(third._request, "__wrapped__")
importlib.reload(sys.modules["ollama._client"])
assert metered() == 0
sdks.instrument(recorder)
assert metered() == 1
""",
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lazy_module_stays_lazy_until_it_is_used(folder: Path, when: str) -> None:
    (folder / "ollama/__init__.py").write_text("")
    lazily = """
def lazy():
    spec = importlib.util.find_spec("ollama._client")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules["ollama._client"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""
    steps = ["lazy()", "sdks.instrument(recorder)"]
    steps = steps if when == "before" else steps[::-1]
    run(
        folder,
        f"""{lazily}
{"; ".join(steps)}
sdks.coverage()
assert type(sys.modules["ollama._client"]).__name__ == "_LazyModule"
assert metered() == 1
assert type(sys.modules["ollama._client"]).__name__ == "module"
""",
    )


def test_a_module_that_a_finder_makes_lazy_stays_lazy_until_it_is_used(folder: Path) -> None:
    (folder / "ollama/__init__.py").write_text("")
    run(
        folder,
        """
from importlib.machinery import PathFinder
class Lazily:
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and name == "ollama._client":
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
sys.meta_path.insert(0, Lazily())
sdks.instrument(recorder)
import ollama._client
assert type(sys.modules["ollama._client"]).__name__ == "_LazyModule"
assert metered() == 1
""",
    )


def test_what_finds_modules_and_their_files_is_as_before(folder: Path) -> None:
    run(
        folder,
        """
import inspect, importlib.resources
sdks.instrument(recorder)
import ollama._client
spec = ollama._client.__spec__
assert type(spec.loader).__name__ == type(ollama._client.__loader__).__name__ == "SourceFileLoader"
assert "_request" in inspect.getsource(ollama._client.Client)
assert "sent" in inspect.getsource(ollama._client.Client._request)
assert "_request" in spec.loader.get_source("ollama._client")
assert importlib.resources.files("ollama").joinpath("_client.py").is_file()
assert importlib.util.find_spec("ollama._client") is not None
sdks.uninstrument()
assert not any(type(finder).__module__.startswith("allowance") for finder in sys.meta_path)
""",
    )


def test_a_package_in_a_zip_file_is_patched(folder: Path, tmp_path: Path) -> None:
    """All of its modules share one loader."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "sdk.zip", "w") as archive:
        for path in (folder / "ollama").iterdir():
            archive.write(path, f"ollama/{path.name}")
        archive.writestr("other.py", "")
    run(
        tmp_path / "sdk.zip",
        """
sdks.instrument(recorder)
import other
assert metered() == 1
assert "sdk.zip" in sys.modules["ollama"].__file__
""",
    )


class Bare:
    __slots__ = ()


STUBS: dict[str, Any] = {
    "None": lambda: None,
    "a namespace": types.SimpleNamespace,
    "an empty module": lambda: types.ModuleType("stub"),
    "a mock": mock.Mock,
    "a magic mock": mock.MagicMock,
    "a mock that says that it is being imported": lambda: mock.Mock(__spec__=mock.Mock()),
    "an object without attributes": Bare,
    "a module whose classes are mocks": lambda: _with(mock.MagicMock()),
    "a module whose classes are built in": lambda: _with(int),
}


def _with(value: Any) -> types.ModuleType:
    module = types.ModuleType("stub")
    for points in registry._POINTS_OF.values():
        for point in points:
            setattr(module, point.name.partition(".")[0], value)
    return module


@pytest.mark.parametrize("stub", STUBS)
def test_a_stub_in_an_sdks_place_is_left_alone_and_told(
    stub: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = STUBS[stub]()
    for name in registry._MODULES:
        monkeypatch.setitem(sys.modules, name, made)
    sdks.instrument(Recorder())
    sdks.instrument(Recorder())
    assert not any(each.covered for each in sdks.coverage() if each.sdk != "litellm")
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(told) == len(set(told))
    assert (told == []) == (made is None)
    sdks.uninstrument()


def test_a_module_that_takes_a_stubs_place_is_patched(folder: Path) -> None:
    run(
        folder,
        """
import types
sys.modules["ollama._client"] = types.SimpleNamespace(Client=None)
sdks.instrument(recorder)
assert not any(each.covered for each in sdks.coverage())
del sys.modules["ollama._client"]
assert metered() == 1
""",
    )

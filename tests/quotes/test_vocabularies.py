"""Vocabularies are found on the machine, or fetched in the background."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from allowance.quotes import Vocabularies

NAME = "cl100k_base"
FILE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


def the_file() -> bytes:
    import litellm

    return (Path(litellm.__file__).parent / "litellm_core_utils/tokenizers" / FILE).read_bytes()


def never(url: str, seconds: float) -> bytes:
    raise AssertionError("nothing was to be fetched")


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_one_in_a_cache_directory_is_loaded(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / FILE).write_bytes(the_file())
    monkeypatch.setenv(variable, str(directory))
    encoding = Vocabularies(fetch=never).get(NAME)
    assert encoding is not None
    assert encoding.encode("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]


def test_one_in_the_temporary_directory_is_loaded(nowhere: None, tmp_path: Path) -> None:
    (tmp_path / "data-gym-cache").mkdir()
    (tmp_path / "data-gym-cache" / FILE).write_bytes(the_file())
    assert Vocabularies(fetch=never).get(NAME) is not None


def test_litellm_is_found_without_being_imported(nowhere: None, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from allowance.quotes import Vocabularies; import importlib.util\n"
        f"found = Vocabularies(download=False).get({NAME!r})\n"
        "assert found is not None; assert 'litellm' not in sys.modules; assert 'requests' not in sys.modules"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_damaged_file_is_not_used_and_left_alone(nowhere: None, tmp_path: Path) -> None:
    damaged = the_file()[:-10]
    (tmp_path / FILE).write_bytes(damaged)
    assert Vocabularies(download=False).get(NAME) is None
    assert (tmp_path / FILE).read_bytes() == damaged


def test_a_slow_download_never_blocks_and_serves_when_it_is_done(nowhere: None, tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(url: str, seconds: float) -> bytes:
        assert url.startswith("https://")
        asked.set()
        assert answer.wait(30)
        return the_file()

    vocabularies = Vocabularies(download=True, fetch=slow)
    assert vocabularies.get(NAME) is None
    assert asked.wait(30)
    assert vocabularies.get(NAME) is None
    assert "not ended" in vocabularies.remedy(NAME)
    answer.set()
    for thread in threading.enumerate():
        if thread.name.startswith("allowance-vocabulary"):
            thread.join(30)
    assert vocabularies.get(NAME) is not None
    assert (tmp_path / FILE).read_bytes() == the_file(), "kept for the next process"


@pytest.mark.parametrize(
    "answer", [OSError("no route to host"), b"<html>a portal's page</html>", b"IQ== 0\n"]
)
def test_a_failed_download_is_remembered(nowhere: None, tmp_path: Path, answer: object) -> None:
    asked = []

    def fail(url: str, seconds: float) -> bytes:
        asked.append(url)
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    vocabularies = Vocabularies(download=True, fetch=fail)
    for _ in range(3):
        assert vocabularies.get(NAME) is None
        for thread in threading.enumerate():
            if thread.name.startswith("allowance-vocabulary"):
                thread.join(30)
    assert len(asked) == 1
    assert "failed" in vocabularies.remedy(NAME)
    assert not (tmp_path / FILE).exists()


def test_the_environment_switches_downloads_off(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWANCE_DOWNLOAD_VOCABULARY", "0")
    vocabularies = Vocabularies(fetch=never)
    assert vocabularies.get(NAME) is None
    assert "switched off" in vocabularies.remedy(NAME)


def test_many_threads_load_a_vocabulary_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    vocabularies = Vocabularies(download=False)
    find = vocabularies._find

    def counted(name: str) -> None:
        loads.append(name)
        find(name)

    monkeypatch.setattr(vocabularies, "_find", counted)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(vocabularies.get(NAME))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [NAME]
    assert len({id(each) for each in found}) == 1
    assert found[0] is not None


def test_what_interrupts_the_load_may_count_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's handler or a finalizer that makes a call stands above the load, in the same thread."""
    found: list[object] = []
    vocabularies = Vocabularies(download=False)
    find = vocabularies._find

    def interrupted(name: str) -> None:
        monkeypatch.setattr(vocabularies, "_find", find)
        found.append(vocabularies.get(name))
        find(name)

    monkeypatch.setattr(vocabularies, "_find", interrupted)
    thread = threading.Thread(target=lambda: found.append(vocabularies.get(NAME)), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(found) == 2
    assert None not in found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_finds_its_own_lock_and_starts_afresh(nowhere: None) -> None:
    vocabularies = Vocabularies(download=False)
    assert vocabularies.get(NAME) is None
    with vocabularies._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if vocabularies.get(NAME) is None and vocabularies._lock.acquire(timeout=5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_they_are_tiktokens_own(
    name: str, vocabularies: Vocabularies, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm
    import tiktoken

    monkeypatch.setenv(
        "TIKTOKEN_CACHE_DIR", str(Path(litellm.__file__).parent / "litellm_core_utils/tokenizers")
    )
    ours, theirs = vocabularies.get(name), tiktoken.get_encoding(name)
    assert ours is not None
    text = "Grüße aus 東京! I'LL pay $1,234.56\r\n\n  for  it — 🚀🚀 don't\tyou? " * 20
    assert ours.encode(text) == theirs.encode(text)

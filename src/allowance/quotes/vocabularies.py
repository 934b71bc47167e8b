"""OpenAI's vocabularies: found on this machine, or fetched in the background; never on the call path.

tiktoken itself downloads a vocabulary at first use, without a time limit and under a lock. Here a file
that lies on the machine is read by the first call that must count; a download goes to a thread of its
own, and until it is done there is no vocabulary.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import os
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tiktoken

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODINGS",
    "Vocabularies",
    "download_wanted",
    "downloads_ended",
    "find_vocabulary",
]

_log = logging.getLogger("allowance")

DEFAULT_ENCODING: Final = "o200k_base"

_THREAD: Final = "allowance-vocabulary-"
_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@dataclass(frozen=True, slots=True)
class _Source:
    """One vocabulary file: the SHA-256 of its content, and the pattern that cuts text before merging."""

    sha256: str
    pattern: str


# The hashes and patterns are those of tiktoken_ext.openai_public, which only offers them with a download.
_SOURCES: Final = {
    "o200k_base": _Source(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
        r"|\s*[\r\n]+"
        r"|\s+(?!\S)"
        r"|\s+",
    ),
    "cl100k_base": _Source(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
}

ENCODINGS: Final = tuple(_SOURCES)
"""The vocabularies that counts are made with."""


def find_vocabulary(name: str) -> Path | None:
    """The file on this machine that holds the vocabulary, or None; nothing is downloaded."""
    return next((path for path in _places(name) if _read(path, _SOURCES[name].sha256) is not None), None)


def download_wanted() -> bool:
    """Whether ``ALLOWANCE_DOWNLOAD_VOCABULARY`` lets a vocabulary that is not here be downloaded."""
    return os.environ.get("ALLOWANCE_DOWNLOAD_VOCABULARY", "1") not in ("0", "false", "no", "off")


def downloads_ended(seconds: float) -> bool:
    """Wait for downloads that are under way, so long at most, and say whether there were any and all ended.

    For a program that would end before them; a call never waits.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(_THREAD)]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return bool(threads) and not any(thread.is_alive() for thread in threads)


class Vocabularies:
    """The encodings of this process, loaded once each.

    Args:
        download: whether one that is not on the machine is fetched in the background. None: yes, unless
            the environment says ``ALLOWANCE_DOWNLOAD_VOCABULARY=0``.
        seconds: the time limit of a download, from the first byte asked to the last received.
        fetch: what gets the bytes of an address within a number of seconds.
    """

    def __init__(
        self,
        *,
        download: bool | None = None,
        seconds: float = 60,
        fetch: Callable[[str, float], bytes] | None = None,
    ) -> None:
        self._download = download
        self._seconds = seconds
        self._fetch = fetch or _fetch
        self._loaded: dict[str, tiktoken.Encoding] = {}
        self._missing: dict[str, str] = {}
        self._lock = threading.RLock()  # a signal's handler or a finalizer may ask while one is being loaded
        if hasattr(os, "register_at_fork"):
            forget = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: _call(forget))

    def get(self, name: str) -> tiktoken.Encoding | None:
        """The encoding of this name, or None while it is not to be had. Reads a file at most once.

        The first call takes about 0.3 seconds where the file is on the machine.
        """
        found = self._loaded.get(name)
        if found is not None or name in self._missing:
            return found
        with self._lock:
            if name not in self._loaded and name not in self._missing:
                self._find(name)
            return self._loaded.get(name)

    def remedy(self, name: str) -> str:
        """How to get a vocabulary that is missing, and why it is."""
        return (
            f"Its texts count as their bytes, several times their tokens, because the vocabulary {name} is "
            f"not on this machine ({self._missing.get(name, 'not looked for')}): install litellm, which "
            "carries it, or set TIKTOKEN_CACHE_DIR to a directory that holds it."
        )

    def _find(self, name: str) -> None:
        source = _SOURCES[name]
        for path in _places(name):
            data = _read(path, source.sha256)
            if data is not None:
                self._loaded[name] = _encoding(name, data)
                return
        wanted = self._download
        if wanted is None:
            wanted = download_wanted()
        if not wanted:
            self._missing[name] = "downloads are switched off"
            return
        self._missing[name] = "its download has not ended yet"
        threading.Thread(target=self._get, args=(name,), name=f"{_THREAD}{name}", daemon=True).start()

    def _get(self, name: str) -> None:
        source = _SOURCES[name]
        try:
            data = self._fetch(_URL.format(name), self._seconds)
            if hashlib.sha256(data).hexdigest() != source.sha256:
                raise ValueError("what came is not the vocabulary: its SHA-256 differs")
            encoding = _encoding(name, data)
        except Exception as error:  # noqa: BLE001  # a thread of ours must not end in a traceback
            self._missing[name] = f"its download failed: {error}"
            _log.info("%s", self.remedy(name))
            return
        self._loaded[name] = encoding
        self._missing.pop(name, None)
        _keep(name, data)

    def _after_fork(self) -> None:
        # The parent's download thread and the owner of its lock do not live in the child.
        self._lock = threading.RLock()
        self._missing.clear()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    found = method()
    if found is not None:
        found()


def _file_name(name: str) -> str:
    return hashlib.sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest()


def _places(name: str) -> Iterator[Path]:
    """Where the file may lie: tiktoken's cache, and the directory of an installed LiteLLM."""
    for directory in _cache_directories():
        yield directory / _file_name(name)
    try:
        spec = importlib.util.find_spec("litellm")  # finds it without importing it
    except (ImportError, ValueError):
        return
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for part in ("litellm_core_utils", "llms"):
            yield Path(root) / part / "tokenizers" / _file_name(name)


def _cache_directories() -> list[Path]:
    named = [os.environ.get(key) for key in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")]
    return [Path(each) for each in named if each] + [Path(tempfile.gettempdir()) / "data-gym-cache"]


def _read(path: Path, sha256: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() == sha256:
        return data
    _log.warning("%s is not the vocabulary that its name says, and is left alone", path)
    return None


def _encoding(name: str, data: bytes) -> tiktoken.Encoding:
    import tiktoken

    ranks = {
        base64.b64decode(token): int(rank)
        for token, rank in (line.split() for line in data.splitlines() if line)
    }
    return tiktoken.Encoding(name, pat_str=_SOURCES[name].pattern, mergeable_ranks=ranks, special_tokens={})


def _fetch(url: str, seconds: float) -> bytes:
    from urllib.request import urlopen

    deadline = time.monotonic() + seconds
    pieces = []
    with urlopen(url, timeout=seconds) as reply:  # noqa: S310  # the address is ours, and https
        while piece := reply.read(65_536):
            pieces.append(piece)
            if time.monotonic() > deadline:
                raise TimeoutError(f"it took longer than {seconds:g} seconds")
    return b"".join(pieces)


def _keep(name: str, data: bytes) -> None:
    """Leave the file where tiktoken keeps it, for the next process; an empty setting says not to."""
    if os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR")) == "":
        return
    directory = _cache_directories()[0]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:
            file.write(data)
        Path(file.name).replace(directory / _file_name(name))
    except OSError as error:
        _log.info("The vocabulary %s could not be kept in %s: %s", name, directory, error)

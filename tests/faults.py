"""A proxy on loopback that does to HTTP what networks do: seeded, and counted.

::

    with faulty(server.url, rate=0.3, seed=7) as proxy:
        store = HostedStore(proxy.url)
    print(proxy.counts)

Of the requests a part, ``rate``, is dropped before it reached the server or after it took effect, answered
500 (before or after), delayed, sent twice, or has its answer cut in the middle.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

__all__ = ["KINDS", "Faults", "faulty"]

KINDS: Final = ("dropped before", "dropped after", "500 before", "500 after", "delayed", "duplicated", "cut")

_PROBLEM: Final = b'{"status":500,"code":"internal","detail":"A fault."}'
_FAILED: Final = (
    b"HTTP/1.1 500 Fault\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_PROBLEM), _PROBLEM)
)


class Faults:
    """The proxy. ``rate`` may be changed at any time; ``counts`` says what was done to how many requests."""

    def __init__(
        self, upstream: str, *, rate: float, seed: int, kinds: tuple[str, ...], delays: tuple[float, float]
    ) -> None:
        parts = urlsplit(upstream)
        self._place = parts.hostname, parts.port
        self._random = random.Random(seed)
        self._delays = delays
        self._kinds = kinds
        self.rate = rate
        self.counts: Counter[str] = Counter()
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Be there until told to stop."""
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=2**20, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        try:
            await stop.wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = _Upstream(self._place)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)  # the loop itself holds it but weakly
        try:
            while await self._one(await _message(reader), writer, upstream):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            upstream.close()
            writer.close()
            self._tasks.discard(task)

    async def _one(self, request: bytes, writer: asyncio.StreamWriter, upstream: _Upstream) -> bool:
        """Pass one request on, or do something else to it; whether the connection is still of use."""
        kind = self._random.choice(self._kinds) if self._random.random() < self.rate else "passed on"
        self.counts[kind] += 1
        if kind == "delayed":
            await asyncio.sleep(self._random.uniform(*self._delays))
        if kind == "dropped before":
            return False
        if kind == "500 before":
            writer.write(_FAILED)
            return True
        answer = await upstream.ask(request)
        if kind == "duplicated":
            answer = await upstream.ask(request)  # as a proxy does that sends again: the last answer goes on
        if kind == "dropped after":
            return False
        if kind == "500 after":
            answer = _FAILED
        if kind == "cut":
            writer.write(answer[: self._random.randrange(1, len(answer))])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return True


class _Upstream:
    """The way on to the server, for one client's connection."""

    def __init__(self, place: tuple[str | None, int | None]) -> None:
        self._place = place
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._place, limit=2**24)
        self._writer.write(request)
        return await _message(self._reader)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, whole: what stands here always says its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


@contextmanager
def faulty(
    upstream: str,
    *,
    rate: float = 0.3,
    seed: int = 1,
    kinds: tuple[str, ...] = KINDS,
    delays: tuple[float, float] = (0.01, 0.3),
) -> Iterator[Faults]:
    """A proxy before the server at ``upstream``, in a thread of its own."""
    faults = Faults(upstream, rate=rate, seed=seed, kinds=kinds, delays=delays)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(faults.serve(started, stop))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert started.wait(60)
        yield faults
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)

"""A light load generator: keep-alive connections that each ask, wait, and ask again. A process of its own.

``python -m tests.benchmarks.loading PORT KEY CONNECTIONS SECONDS BUDGETS PATH`` prints one line of JSON. With
PATH ``calls`` each turn is a reserve and a settle of one call; else a POST of the same bytes to that path.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from secrets import token_hex
from typing import Any

import uvloop

TTL = 900_000_000


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.buffer = b""
        self.calls = 0
        self.hold_id = b""
        self.settling = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport  # uvloop's is none of asyncio's classes
        self.ask()

    def ask(self) -> None:
        """Send the next request."""
        load = self.load
        if load.path != "calls":
            head, body = load.heads[0], load.same
        elif self.settling:
            head, body = load.heads[1], b'{"hold_id":"%s","amount":700,"model":"gpt-4o"}' % self.hold_id
        else:
            self.calls += 1
            self.hold_id = b"%s-%d-%d" % (load.prefix, self.number, self.calls)
            user = (self.number + self.calls * load.connections) % load.budgets
            head, body = load.heads[0], load.ask % (self.hold_id, user)
        self.began = time.perf_counter()
        self.transport.write(head % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.find(b"content-length: ") + 16
        length = int(self.buffer[at : self.buffer.find(b"\r", at)])
        if len(self.buffer) < end + 4 + length:
            return
        if self.buffer[9:12] != b"200" or (not self.settling and b'"denied"' in self.buffer):
            self.load.failed.append(self.buffer)
        self.buffer = b""
        now = time.perf_counter()
        self.load.took.append((now, now - self.began))
        self.settling = self.load.path == "calls" and not self.settling
        if now < self.load.ends or self.settling:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.open -= 1
        if self.load.open == 0:
            self.load.done.set()


class Load:
    """All connections, and what they saw."""

    def __init__(self, key: str, connections: int, seconds: float, budgets: int, path: str) -> None:
        self.connections = self.open = connections
        self.budgets = budgets
        self.path = path
        self.prefix = token_hex(4).encode()
        self.seconds = seconds
        self.done = asyncio.Event()
        self.took: list[tuple[float, float]] = []
        self.failed: list[bytes] = []
        head = f"POST {{}} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += "content-type: application/json\r\ncontent-length: %d\r\n\r\n"
        paths = ("/v1/reserve", "/v1/settle") if path == "calls" else (path, path)
        self.heads = [head.replace("{}", one).encode() for one in paths]
        scope = {"key": ["bench", "user", "user-%d"], "declared": {"limit": 10**17, "creates": True}}
        body = {
            "hold_id": "%s",
            "scopes": [scope],
            "amount": 1_000,
            "expected": 800,
            "bounded": True,
            "ttl": TTL,
            "model": "gpt-4o",
            "deadline_ms": 5_000,
        }
        self.ask = json.dumps(body, separators=(",", ":")).encode()
        self.same = self.ask % (b"h", 1)

    async def run(self, port: int) -> dict[str, float]:
        """Run, and say what came of it; a fifth of the time is for warming up."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        self.ends = began + self.seconds
        for number in range(self.connections):
            await loop.create_connection(lambda number=number: Caller(self, number), "127.0.0.1", port)
        await asyncio.wait_for(self.done.wait(), self.seconds + 30)
        after = began + self.seconds / 5
        took = sorted(one for at, one in self.took if after <= at < self.ends)
        return {
            "rate": len(took) / (self.seconds * 4 / 5),
            "p50": took[len(took) // 2] * 1e3,
            "p99": took[int(len(took) * 0.99)] * 1e3,
            "failed": len(self.failed),
        }


def main() -> None:
    """See the module."""
    port, key, connections, seconds, budgets, path = sys.argv[1:]
    gc.disable()

    async def run() -> None:
        load = Load(key, int(connections), float(seconds), int(budgets), path)
        print(json.dumps(await load.run(int(port))))
        if load.failed:
            print(load.failed[0][:600], file=sys.stderr)

    uvloop.run(run())


if __name__ == "__main__":
    main()

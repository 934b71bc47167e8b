"""What a patched SDK function costs where no budget is in force: ``python -m tests.sdks.benchmark``.

Each line compares the same function, plain and patched, over a body that does nothing.
"""

from __future__ import annotations

import asyncio
import timeit
from types import ModuleType
from typing import Any

import wrapt

from allowance.calls.sdk_call import SdkCall
from allowance.sdks import current
from allowance.sdks.points import AttributePoint, metered
from allowance.sdks.stainless import Endpoint, base_client_points

from .recorder import Recorder, on

NUMBER = 200_000


class Client:
    base_url = "https://api.openai.com/v1/"

    def request(self, cast_to: Any, options: Any, *, stream: bool = False) -> Any:
        return options

    async def arequest(self, cast_to: Any, options: Any) -> Any:
        return options


class Options:
    method = "post"
    url = "/chat/completions"
    json_data: dict[str, Any] = {"model": "gpt-4o", "messages": []}  # noqa: RUF012
    extra_json = None
    files = None


def nanoseconds(call: Any) -> float:
    return min(timeit.repeat(call, number=NUMBER, repeat=5)) / NUMBER * 1e9


async def ananoseconds(client: Client) -> float:
    clock = asyncio.get_running_loop().time
    times = []
    for _ in range(5):
        begin = clock()
        for _ in range(NUMBER):
            await client.arequest(object, Options)
        times.append(clock() - begin)
    return min(times) / NUMBER * 1e9


def main() -> None:
    module = ModuleType("module")
    module.Client = Client  # type: ignore[attr-defined]
    client = Client()
    read = base_client_points("openai", "module", (Endpoint("chat/completions", "chat"),), lambda *_: None)
    reader: Any = read[0]._wrapper.keywords["read"]  # type: ignore[attr-defined]
    points = [
        AttributePoint("module", f"Client.{name}", lambda original: metered(original, reader))
        for name in ("request", "arequest")
    ]

    def ask() -> Any:
        return client.request(object, Options)

    plain, aplain = nanoseconds(ask), asyncio.run(ananoseconds(client))
    for point in points:
        point.apply(module)
    on.set(False)
    rows = {}
    for name, meter in (("uninstrumented", None), ("no budget in force", Recorder())):
        current.set_meter(meter)
        rows[name] = nanoseconds(ask) - plain, asyncio.run(ananoseconds(client)) - aplain
    for name, (sync, aio) in rows.items():
        print(f"{name:20} {sync:6.0f} ns sync {aio:6.0f} ns async")
    call: SdkCall = reader(client.request, client, (object, Options), {})
    reading = nanoseconds(lambda: reader(client.request, client, (object, Options), {}))
    print(f"{'reading a call':20} {reading:6.0f} ns ({call.api}); wrapt {wrapt.__version__}")


if __name__ == "__main__":
    main()

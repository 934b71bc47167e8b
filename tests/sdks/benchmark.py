"""What a patched SDK function costs where no budget is in force: ``python -m tests.sdks.benchmark``.

Each line compares the same function, plain and patched, over a body that does nothing. The two are measured
in turn, round after round, and the medians are told: a machine that does other things slows both.
"""

from __future__ import annotations

import asyncio
import timeit
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Any

from allowance.calls.sdk_call import SdkCall
from allowance.calls.sdk_meter import SdkMeter
from allowance.sdks import current
from allowance.sdks.points import AttributePoint, CellPoint, metered
from allowance.sdks.stainless import Endpoint, base_client_points

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = 20_000
ROUNDS = 41


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


def decorated(original_function: Any) -> Any:
    """Keeps a function in a cell, as LiteLLM's decorator does."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return original_function(*args, **kwargs)

    return wrapper


def completion(**kwargs: Any) -> Any:
    return kwargs


def seconds(call: Callable[[], Any]) -> float:
    return timeit.timeit(call, number=NUMBER)


async def aseconds(client: Client) -> float:
    clock = asyncio.get_running_loop().time
    begin = clock()
    for _ in range(NUMBER):
        await client.arequest(object, Options)
    return clock() - begin


def main() -> None:
    module: Any = ModuleType("module")
    module.Client = Client
    module.completion = decorated(completion)
    client = Client()
    endpoints = (Endpoint("chat/completions", "chat"),)
    reader = base_client_points("openai", "module", endpoints, lambda *_: None)[0]._runs.keywords["read"]  # type: ignore[attr-defined]
    points = [
        AttributePoint("module", f"Client.{name}", lambda original: metered(original, reader))
        for name in ("request", "arequest")
    ] + [CellPoint("module", "completion", "original_function", lambda _: reader, essential=True)]
    calls: dict[str, Callable[[], float]] = {
        "a method": lambda: seconds(lambda: client.request(object, Options)),
        "a coroutine method": lambda: asyncio.run(aseconds(client)),
        "LiteLLM's cell": lambda: seconds(lambda: module.completion(model="gpt-4o", messages=[])),
    }
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for state, meter in (("plain", None), ("uninstrumented", None), ("no budget in force", SdkMeter())):
            current.set_meter(meter)
            for point in points:
                point.undo() if state == "plain" else point.apply(module)
            for name, measure in calls.items():
                times.setdefault((name, state), []).append(measure() / NUMBER * 1e9)
    for name in calls:
        plain = median(times[name, "plain"])
        for state in ("uninstrumented", "no budget in force"):
            print(f"{name:20} {state:20} {median(times[name, state]) - plain:6.0f} ns more than {plain:.0f}")
    call: SdkCall = reader(client.request, client, (object, Options), {})
    reading = seconds(lambda: reader(client.request, client, (object, Options), {})) / NUMBER * 1e9
    print(f"reading a call       {reading:6.0f} ns ({call.api})")


if __name__ == "__main__":
    main()

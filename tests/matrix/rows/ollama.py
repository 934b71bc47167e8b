"""The ollama SDK: what runs on the user's own machine is free, and what has a price is billed."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import Any

from allowance import Price
from tests.calls.support import MESSAGES
from tests.matrix.row import Endpoint, Row, Sdk

CAP = {"num_predict": 50}
ASK: dict[str, Any] = {"messages": MESSAGES, "options": CAP}
SAY: dict[str, Any] = {"prompt": "hello there", "system": "be brief", "options": CAP}
HERE = "llama3.2"
CLOUD = "kimi-k9:1t-cloud"
OWN = {CLOUD: Price(input=1, output=2)}
COST = 10 * 1_000 + 5 * 2_000
EMBED_COST = 10 * 1_000


def clients(url: str, stack: ExitStack, astack: AsyncExitStack) -> tuple[Any, Any]:
    import ollama

    client = stack.enter_context(ollama.Client(url, trust_env=False))
    aclient = ollama.AsyncClient(url, trust_env=False)
    astack.push_async_exit(aclient)
    return client, aclient


SDK = Sdk(
    "ollama",
    clients,
    (
        Endpoint(
            "chat",
            lambda c: c,
            (
                Row("on this machine", lambda c: c.chat(HERE, **ASK), 0),
                Row("on this machine stream", lambda c: c.chat(HERE, **ASK, stream=True), 0),
                Row("in the cloud", lambda c: c.chat(CLOUD, **ASK), COST, prices=OWN),
                Row("in the cloud stream", lambda c: c.chat(CLOUD, **ASK, stream=True), COST, prices=OWN),
            ),
        ),
        Endpoint(
            "generate",
            lambda c: c,
            (
                Row("on this machine", lambda c: c.generate(HERE, **SAY), 0),
                Row("in the cloud", lambda c: c.generate(CLOUD, **SAY), COST, prices=OWN),
                Row("in the cloud stream", lambda c: c.generate(CLOUD, **SAY, stream=True), COST, prices=OWN),
            ),
        ),
        Endpoint(
            "embed",
            lambda c: c,
            (
                Row("on this machine", lambda c: c.embed(HERE, ["hello there"]), 0),
                Row("in the cloud", lambda c: c.embed(CLOUD, ["hello there"]), EMBED_COST, prices=OWN),
            ),
        ),
    ),
)

"""The routes of protocol v1, one for each verb of `allowance.wire.verbs.VERBS`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from allowance import __version__
from allowance.server.endpoints import Endpoint
from allowance.server.gate import Need
from allowance.server.key import Scope
from allowance.server.keys_api import ROUTES
from allowance.server.problems import RefusedError, json_reply
from allowance.wire import PROTOCOL
from allowance.wire.fields import obj
from allowance.wire.json import loads
from allowance.wire.pages import dump_page, page_of
from allowance.wire.records import dump_outcome, dump_settlement, load_ask, load_posting
from allowance.wire.verbs import VERBS, deadline_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from allowance.server.doing import Doing
    from allowance.server.endpoints import Call
    from allowance.server.gate import Gate
    from allowance.server.keys import Keys
    from allowance.server.keys_api import KeyRoute
    from allowance.server.metrics import Metrics
    from allowance.server.problems import Reply
    from allowance.server.settings import ServerSettings
    from allowance.wire.verbs import Verb

__all__ = ["key_endpoints", "v1"]


def v1(doing: Doing, gate: Gate, metrics: Metrics, settings: ServerSettings) -> list[Endpoint]:
    """The endpoints of the protocol: what the server is, and the verbs."""
    build = partial(Endpoint, gate=gate, metrics=metrics)
    endpoints = [build("/v1/", _about, Need.OPEN, method="GET")]
    for verb in VERBS.values():
        handler = _handler(verb, doing)
        endpoints.append(build(f"/v1/{verb.name}", handler, Need(verb.scope), most=settings.max_body))
    return endpoints


def key_endpoints(
    keys: Keys, doing: Doing, gate: Gate, metrics: Metrics, settings: ServerSettings
) -> list[Endpoint]:
    """The endpoints about keys, which need an admin's."""
    build = partial(Endpoint, need=Need.ADMIN, gate=gate, metrics=metrics)
    return [
        build(route.path, partial(_of_keys, route, keys, doing), method=route.method, most=settings.max_body)
        for route in ROUTES
    ]


async def _of_keys(route: KeyRoute, keys: Keys, doing: Doing, call: Call) -> Reply:
    body = obj(loads(call.body), "body") if route.method == "POST" else {}
    return json_reply(await doing.in_thread(partial(route.handler, keys, call.by, body)))


async def _about(_: Call) -> Reply:
    return json_reply({"protocol": PROTOCOL, "server": "allowance", "version": __version__})


def _handler(verb: Verb, doing: Doing) -> Callable[[Call], Awaitable[Reply]]:
    own = {"reserve": _reserve, "settle": _settle, "release": _release, "renew": _renew}
    if verb.name in own:
        return partial(own[verb.name], doing)
    return partial(_listing if verb.paged else _other, doing, verb)


async def _reserve(doing: Doing, call: Call) -> Reply:
    body = obj(loads(call.body), "body")
    ask, within = load_ask(body), deadline_of(body)
    deadline = None if within is None else call.arrived + within / 1_000
    return json_reply(dump_outcome(await doing.reserve(call.by, ask, deadline)))


async def _settle(doing: Doing, call: Call) -> Reply:
    posting = load_posting(obj(loads(call.body), "body"))
    return json_reply({"settled": dump_settlement(await doing.settle(call.by, posting))})


async def _release(doing: Doing, call: Call) -> Reply:
    verb = VERBS["release"]
    arguments = verb.load_arguments(obj(loads(call.body), "body"))
    return json_reply(verb.dump_reply(await doing.release(call.by, **arguments)))


async def _renew(doing: Doing, call: Call) -> Reply:
    verb = VERBS["renew"]
    arguments = verb.load_arguments(obj(loads(call.body), "body"))
    await doing.renew(call.by, **arguments)
    return json_reply(verb.dump_reply(None))


async def _listing(doing: Doing, verb: Verb, call: Call) -> Reply:
    body = obj(loads(call.body), "body")
    arguments = verb.load_arguments(body)
    page = page_of(verb, body, arguments)

    def read() -> dict[str, Any]:
        return dump_page(verb, getattr(doing, verb.name)(call.by, **arguments), page)

    return json_reply(await doing.in_thread(read))


async def _other(doing: Doing, verb: Verb, call: Call) -> Reply:
    key = call.by
    arguments = verb.load_arguments(obj(loads(call.body), "body"))
    if scope_of(verb, arguments) == "admin" and not key.may(Scope.ADMIN):
        raise RefusedError(
            403,
            "forbidden",
            f"The key {key.name!r} ({key.key_id}) may declare terms, as code does, but an operator's terms "
            "need the scope admin.",
        )
    result = await doing.in_thread(partial(getattr(doing, verb.name), key, **arguments))
    return json_reply(verb.dump_reply(result))

"""The application: routes, the gate before them, and what runs beside them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.routing import Match, Mount

from allowance import __version__
from allowance.errors import ConfigurationError
from allowance.server import openapi
from allowance.server.api import key_endpoints, v1
from allowance.server.batches import Batcher
from allowance.server.documentation import documentation
from allowance.server.doing import Doing
from allowance.server.gate import Gate, Need
from allowance.server.health import health
from allowance.server.keys import Keys
from allowance.server.limits import Rates, read_body
from allowance.server.litellm import litellm
from allowance.server.metrics import Metrics
from allowance.server.problems import GUARDS, RefusedError, problem_of, send_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.routing import BaseRoute
    from starlette.types import Message, Receive, Scope, Send

    from allowance.server.endpoints import Endpoint
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["Application"]


class Application(FastAPI):
    """A FastAPI application whose every route has a `Need`; one without is refused as it is built.

    What programs ask are `Endpoint`s, found by their address alone. What else there is (the page) goes
    through FastAPI, behind the same gate.
    """

    def __init__(self, store: Store, state: State, settings: ServerSettings) -> None:
        super().__init__(
            title="allowance",
            version=__version__,
            description=openapi.ABOUT,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            lifespan=_lifespan,
        )
        self.settings = settings
        self.store = store
        self.server_state = state
        self.metrics = Metrics()
        self.keys = Keys(state, store)
        self.gate = Gate(self.keys, Rates(settings.rate, settings.burst))
        self.batcher = Batcher(
            store,
            threads=settings.threads,
            most=settings.batch,
            queue=settings.queue,
            watch=self.metrics.batch,
        )
        self.doing = Doing(store, self.batcher, state, settings, self.metrics)
        self.needs: dict[str, Need] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {
            (endpoint.method, endpoint.path): endpoint
            for endpoint in (
                *v1(self.doing, self.gate, self.metrics, settings),
                *litellm(self.doing, state, self.gate, self.metrics, settings),
                *health(self.doing, state, self.gate, self.metrics, settings),
                *key_endpoints(self.keys, self.doing, self.gate, self.metrics, settings),
                *documentation(self.openapi, self.gate, self.metrics),
            )
        }
        for endpoint in self.endpoints.values():
            self.add(endpoint.route(), endpoint.need)
        self._add_others()
        self.check()

    def _add_others(self) -> None:
        """What other rooms of the server bring along."""
        from allowance.server.page import page_router

        for route in page_router(self.store, self.keys, self.server_state, self.settings).routes:
            self.add(route, Need.PAGE)

    def add(self, route: BaseRoute, need: Need) -> None:
        """Add a route, and what it needs."""
        self.router.routes.append(route)
        self.needs[_path(route)] = need

    def check(self) -> None:
        """Refuse to serve a route that nobody said the need of.

        Raises:
            ConfigurationError: with its address.
        """
        for route in self.router.routes:
            if _path(route) not in self.needs:
                raise ConfigurationError(
                    f"The route {_path(route)!r} has no need. Add it by Application.add(route, Need...)."
                )

    def openapi(self) -> dict[str, Any]:
        """The description of all that programs may ask."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self.endpoints.values(), __version__)
        return self.openapi_schema

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            endpoint = self.endpoints.get((scope["method"], scope["path"]))
            if endpoint is not None:
                await endpoint(scope, receive, send)
            else:
                await self._other(scope, receive, send)
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route of FastAPI's, behind the gate, with its body read within the same bounds."""
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [header for header in GUARDS if header[0] not in present]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            need = self._need(scope)
            headers = scope["headers"]
            key = await self.gate.admit(headers, need)
            body = await read_body(headers, receive, most=self.settings.max_body)
            scope.setdefault("state", {})["key"] = key
            await super().__call__(scope, _replay(body, receive), guarded)
        except Exception as error:
            if begun:
                raise
            await send_reply(send, problem_of(error))

    def _need(self, scope: Scope) -> Need:
        partly = False
        for route in self.router.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return self.needs[_path(route)]
            partly = partly or match is Match.PARTIAL
        if partly:
            raise RefusedError(405, "method_not_allowed", f"Not with {scope['method']}.")
        raise RefusedError(404, "not_found", "There is nothing at this address. See /docs.")


def _path(route: BaseRoute) -> str:
    path: str = getattr(route, "path", "")
    return path + "/*" if isinstance(route, Mount) else path


def _replay(body: bytes, receive: Receive) -> Receive:
    """What hands on a body that was read, and then waits as the original does."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


@asynccontextmanager
async def _lifespan(app: Application) -> AsyncIterator[None]:
    from allowance.server.sweeps import Sweeper

    sweeper = None
    if app.settings.sweep_seconds is not None:
        sweeper = Sweeper(app.store, app.server_state, app.settings)
        sweeper.start()
    try:
        yield
    finally:
        if sweeper is not None:
            sweeper.stop()
        app.batcher.close()
        app.doing.close()

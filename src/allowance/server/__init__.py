"""The hosted store's other end: a server for the budgets of many machines (extra ``server``).

``allowance serve`` runs it; `app` makes the application alone, for another ASGI server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allowance.server.application import Application
    from allowance.server.settings import ServerSettings
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["app"]


def app(store: Store, state: State, settings: ServerSettings | None = None) -> Application:
    """The server as an ASGI application (a FastAPI one). Its lifespan starts and ends the background job."""
    from allowance.server.application import Application
    from allowance.server.settings import ServerSettings

    return Application(store, state, settings or ServerSettings())

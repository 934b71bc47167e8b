"""What ``allowance serve`` runs: where it may listen, the first key, and the workers."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import uvicorn

from allowance.errors import ConfigurationError
from allowance.server.application import Application
from allowance.server.health import NOBODY
from allowance.server.keys import Keys, Scope
from allowance.server.logs import configure_logs
from allowance.server.settings import ServerSettings
from allowance.server.state import open_state
from allowance.server.sweeps import Sweeper
from allowance.stores.open import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_PORT", "Serving", "Started", "serve", "worker"]

DEFAULT_PORT: Final = 4100

_VARIABLE: Final = "_ALLOWANCE_SERVE"  # how the workers are told what to serve: never in their arguments
_DRAIN: Final = 30
_SWITCH: Final = 0.0001
_IDLE: Final = 75


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. ``webhook_secret_file`` is read by each worker, so that no one hands the secret on."""

    store: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    tls_cert: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False
    connections: int = 2_000
    log_format: Literal["text", "json"] = "text"
    webhook_secret_file: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where clients on this machine find the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Started:
    """What is to be told once the server can be reached. ``admin_key`` is there at the first start alone."""

    address: str
    store: str
    admin_key: str | None


def serve(serving: Serving, told: Callable[[Started], object]) -> None:
    """Serve until a signal says stop; what is under way then is finished, for half a minute at most.

    Raises:
        ConfigurationError: it may not, or cannot, listen there; with the remedy.
        StoreUnavailableError, StoreCorruptError: the store or the server's own database cannot be used.
    """
    _check(serving)
    serving = _with_free_port(serving)
    first = _prepare(serving)
    told(Started(serving.address, first[0], first[1]))
    os.environ[_VARIABLE] = json.dumps({"parent": os.getpid(), "serving": asdict(serving)})
    figures = None
    if serving.workers > 1:
        figures = tempfile.mkdtemp(prefix="allowance-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
    try:
        _run(serving)
    finally:
        os.environ.pop(_VARIABLE, None)
        if figures is not None:
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
            shutil.rmtree(figures, ignore_errors=True)


def worker() -> Application:
    """One worker's application, as its parent said through the environment."""
    told = json.loads(os.environ[_VARIABLE])
    serving = Serving(**told["serving"])
    configure_logs(serving.log_format)
    _tune()
    if serving.workers > 1:
        _end_with(told["parent"])
    return Application(open_store(serving.store), open_state(serving.store), _settings(serving))


def _run(serving: Serving) -> None:
    uvicorn.run(
        "allowance.server.serving:worker",
        factory=True,
        host=serving.host,
        port=serving.port,
        workers=serving.workers,
        http="allowance.server.protocol:BoundedProtocol",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=serving.behind_proxy,
        limit_concurrency=serving.connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_DRAIN,
        ssl_certfile=serving.tls_cert,
        ssl_keyfile=serving.tls_key,
    )


def _check(serving: Serving) -> None:
    """Whether what is asked for is safe, and can be."""
    if (serving.tls_cert is None) != (serving.tls_key is None):
        raise ConfigurationError("TLS takes two files: give --tls-cert and --tls-key.")
    for path in (serving.tls_cert, serving.tls_key, serving.webhook_secret_file):
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigurationError(f"The file {path} is not there, or cannot be read.")
    if serving.workers < 1:
        raise ConfigurationError("--workers must be 1 or more.")
    if serving.store.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"A server cannot stand on another server, {urlsplit(serving.store).hostname} (from --store, or "
            "ALLOWANCE_STORE). "
            "Name a file or a database: --store sqlite:///allowance.db, or --store postgresql://..."
        )
    if serving.store.startswith("memory:"):
        raise ConfigurationError(
            "A server's budgets must outlive it: --store sqlite:///allowance.db, not memory."
        )
    if not (_is_loopback(serving.host) or serving.tls_cert or serving.behind_proxy):
        raise ConfigurationError(
            f"{serving.host} can be reached from other machines, and keys would travel in clear. Give "
            "--tls-cert and --tls-key, or --behind-proxy where a proxy in front of it does TLS."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_free_port(serving: Serving) -> Serving:
    """Look whether one can listen there, before anything is made; for port 0, at which port."""
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((serving.host, serving.port))
            port: int = probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"Nothing can listen at {serving.host}:{serving.port}: {reason}. Is a server running there "
            "already? Choose another with --port, or --port 0 for any that is free."
        ) from None
    return Serving(**{**asdict(serving), "port": port})


def _prepare(serving: Serving) -> tuple[str, str | None]:
    """Make what is not there yet: the store, the server's own tables, and at first an admin key."""
    store = open_store(serving.store)
    try:
        store.account(NOBODY)  # its tables are made now, by one; and whether it can be used is told now
        state = open_state(serving.store)
        try:
            Sweeper(store, state, _settings(serving))  # what it cannot do is told now, and not by a worker
            keys = Keys(state, store)
            token = None
            if not keys.listed():
                try:
                    _, token = keys.mint("admin", {Scope.ADMIN}, actor="server:first-start")
                except ConfigurationError:
                    token = None  # another server was faster, and prints its own
            return store.url, token
        finally:
            state.close()
    finally:
        store.close()


def _settings(serving: Serving) -> ServerSettings:
    settings = dict(serving.settings)
    if serving.webhook_secret_file is not None:
        settings["webhook_secret"] = Path(serving.webhook_secret_file).read_text("utf-8").strip()
    settings["webhooks"] = tuple(settings.get("webhooks", ()))
    settings.setdefault("over_tls", bool(serving.tls_cert or serving.behind_proxy))
    return ServerSettings(**settings)


def _tune() -> None:
    """Settings of the interpreter for a process that does nothing but serve.

    A thread that comes back from the database waits for a whole switch interval, 5 ms, while the loop is
    busy; and what was loaded at the start need not be looked through for garbage at every few requests.
    """
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _end_with(parent: int) -> None:
    """Where the parent is killed, its workers end too: else they would serve on, under nobody's eyes.

    It may be gone before this process came so far as to ask who its parent is.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="allowance-parent", daemon=True).start()

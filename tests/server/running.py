"""A real server to talk to: ``allowance serve`` in a process of its own, or uvicorn in a thread."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from allowance.server.application import Application
from allowance.server.keys import Keys, Scope
from allowance.server.settings import ServerSettings
from allowance.server.state import State, open_state
from allowance.stores.base import Store
from allowance.stores.open import open_store

PATIENCE = 60


@dataclass
class Answer:
    """What came back: its status, its JSON, its headers."""

    status: int
    body: Any
    headers: dict[str, str]


def ask(
    url: str,
    path: str,
    body: object = None,
    *,
    key: str | None = None,
    method: str | None = None,
    headers: dict[str, str] | None = None,
    data: bytes | None = None,
) -> Answer:
    """One request on a connection of its own; with a body, or ``data`` as it is, a POST."""
    parts = urlsplit(url)
    sent = data if data is not None else None if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        given = {"content-type": "application/json"} if sent is not None else {}
        given |= {"authorization": f"Bearer {key}"} if key else {}
        given |= headers or {}
        connection.request(method or ("GET" if sent is None else "POST"), path, sent, given)
        response = connection.getresponse()
        raw = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        loaded = json.loads(raw) if "json" in found.get("content-type", "") else raw
        return Answer(response.status, loaded, found)
    finally:
        connection.close()


@dataclass
class Running:
    """A server in a process group of its own."""

    store_url: str
    options: list[str]
    port: int = 0
    admin_key: str = ""
    url: str = ""
    process: subprocess.Popen[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "allowance", "serve", "--json"),
                *("--store", self.store_url, "--port", str(self.port), *self.options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **self.environment},
        )
        self._lines: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        text = ""
        while not (text.strip() and _is_json(text)):
            line = self.process.stdout.readline()
            if not line:
                self._end(signal.SIGKILL)
                raise AssertionError(f"The server did not start: {self.log}")
            text += line
        told = json.loads(text)
        self.url, self.port = told["url"], int(told["url"].rpartition(":")[2])
        self.admin_key = told["admin_key"] or self.admin_key
        self._wait()

    @property
    def log(self) -> str:
        """What it has written to standard error since it was started."""
        return "".join(self._lines)

    def kill(self) -> None:
        """SIGKILL, to all of its processes."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait until it has finished; its exit code."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again, at the same address and on the same store, after a `kill` or a `stop`."""
        self.kill()
        self.start()

    def mint(self, name: str, scopes: list[str], **terms: object) -> str:
        """The token of a new key."""
        made = self.ask("/v1/keys", {"name": name, "scopes": scopes, **terms}, key=self.admin_key)
        assert made.status == 200, made
        token: str = made.body["token"]
        return token

    def ask(self, path: str, body: object = None, **how: Any) -> Answer:
        """One request of it; see `ask`."""
        return ask(self.url, path, body, **how)

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._lines.append(line)

    def _wait(self) -> None:
        ends = time.monotonic() + PATIENCE
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                self._end(signal.SIGKILL)
                raise AssertionError(f"The server ended: {self.log}")
            try:
                if self.ask("/healthz").status == 200:
                    return
            except OSError:
                if time.monotonic() > ends:
                    raise
            time.sleep(0.02)

    def _end(self, how: signal.Signals) -> int:
        process = self.process
        if process is None:
            return 0
        if how is signal.SIGTERM:
            process.send_signal(how)
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, how)
        code = process.wait(PATIENCE)
        assert process.stdout is not None
        assert process.stderr is not None
        self._reader.join(PATIENCE)
        process.stdout.close()
        process.stderr.close()
        self.process = None
        return code


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@contextmanager
def running(store_url: str, *options: str, port: int = 0, **environment: str) -> Iterator[Running]:
    """A real ``allowance serve`` on a free port of loopback; ``options`` are words of its command line."""
    server = Running(store_url, list(options), port, environment=environment)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass
class Inside:
    """A server in a thread of this process, with its parts at hand."""

    url: str
    app: Application
    store: Store
    state: State
    keys: Keys
    admin_key: str

    def mint(self, name: str, scopes: list[str], **terms: Any) -> str:
        """The token of a new key."""
        return self.keys.mint(name, {Scope(scope) for scope in scopes}, actor="test", **terms)[1]

    def ask(self, path: str, body: object = None, **how: Any) -> Answer:
        """One request of it; see `ask`."""
        return ask(self.url, path, body, **how)


@contextmanager
def inside(
    store: Store | str, *, state_url: str | None = None, admin: str = "admin", **settings: Any
) -> Iterator[Inside]:
    """A server in a thread, for quick tests: on a store, or on the store of a URL.

    For a store in memory ``state_url`` names where the server's own tables are. There is no background job
    unless ``sweep_seconds`` is given. A second server on the same tables needs another ``admin``.
    """
    opened = open_store(store) if isinstance(store, str) else store
    state = open_state(state_url or opened.url)
    try:
        app = Application(opened, state, ServerSettings(**{"sweep_seconds": None, **settings}))
        _, admin_key = app.keys.mint(admin, {Scope.ADMIN}, actor="test")
        with _listening(app) as url:
            yield Inside(url, app, opened, state, app.keys, admin_key)
    finally:
        state.close()
        if isinstance(store, str):
            opened.close()


@contextmanager
def _listening(app: Application) -> Iterator[str]:
    """uvicorn in a thread, as ``allowance serve`` sets it up."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http="allowance.server.protocol:BoundedProtocol",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), name="server")
        thread.start()
        try:
            ends = time.monotonic() + PATIENCE
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < ends
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)

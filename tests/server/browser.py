"""A server's page with budgets in it, on a real port, and the Chromium of Debian's packages."""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

from allowance.ledger.records import AccountKey, Ask, Declaration, Grant, Posting
from allowance.ledger.records import Scope as Budget
from allowance.server import app
from allowance.server.keys import Keys, Scope
from allowance.server.settings import ServerSettings
from allowance.server.state import State, open_state
from allowance.stores.sqlite import SQLiteStore

CHROMIUM = os.environ.get("ALLOWANCE_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
USD = 1_000_000_000
DAY = 86_400_000_000

MODELS = (
    *("gpt-4o", "gpt-4o-mini", "o3", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-pro"),
    *("gemini-2.5-flash", "mistral-large-latest", "command-a", "llama-3.3-70b", "text-embedding-3-small"),
    "qwen-2.5-72b",
)
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror="alert(1)">\' onclick=\'alert(1)',
    '=HYPERLINK("http://evil.example","click")',
    "a/../../b%00/%2e%2e?x=1#y&z",
    "\u202egnp.exe\u202c",
    "👩‍👩‍👧‍👦 Ω مرحبا",
    "x" * 128,
    "{{ 7 * 7 }}{% raw %}",
)
"""Names that must do nothing, and break nothing."""


@dataclass
class World:
    """A page that is served, with what stands behind it."""

    url: str
    store: SQLiteStore
    state: State
    keys: Keys
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @contextmanager
    def client(self, who: str | None = None) -> Iterator[httpx.Client]:
        """A browser without a screen; logged in with a key, where one is named."""
        with httpx.Client(base_url=self.url, headers={"accept": "text/html"}, timeout=30) as client:
            if who is not None:
                assert log_in(client, self.tokens[who]).status_code == 303
            yield client


def log_in(client: httpx.Client, token: str, onward: str = "/") -> httpx.Response:
    """Send the login's form."""
    form = client.get("/login", params={"next": onward})
    return client.post("/login", data={"key": token, "csrf": csrf_of(form), "next": onward})


def csrf_of(answer: httpx.Response) -> str:
    """The token of the forms on a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', answer.text)
    assert found is not None, answer.text[:2000]
    return found[1]


@contextmanager
def world(folder: Path, **settings: Any) -> Iterator[World]:
    """An empty one: keys ``admin``, ``reader`` and ``red`` (an admin's that is bound to the project red)."""
    url = f"sqlite:///{folder / 'budgets.db'}"
    store, state = SQLiteStore(folder / "budgets.db"), open_state(url)
    try:
        served = app(store, state, ServerSettings(sweep_seconds=None, **settings))
        keys = served.keys
        with _served(served) as address:
            made = World(address, store, state, keys)
            made.tokens["admin"] = keys.mint("admin", [Scope.ADMIN], actor="test")[1]
            made.tokens["reader"] = keys.mint("reader", [Scope.READ], actor="test")[1]
            made.tokens["red"] = keys.mint("red", [Scope.ADMIN], ["red"], actor="test")[1]
            yield made
    finally:
        state.close()
        store.close()


@contextmanager
def _served(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


def spend(
    store: SQLiteStore, key: AccountKey, amount: int, model: str, hold_id: str, *, ago: int = 0
) -> None:
    """One call that is charged, so many microseconds ago."""
    at = time.time_ns() // 1_000 - ago if ago else None
    store.settle(Posting(hold_id, amount, (Budget(key),), model, 1200, 300, at=at))


def hold(store: SQLiteStore, key: AccountKey, amount: int, hold_id: str, model: str = "gpt-4o") -> None:
    """One call that is open."""
    ask = Ask(hold_id, (Budget(key),), amount, amount, amount, amount, True, 900_000_000, model=model)
    assert isinstance(store.reserve(ask), Grant)


def populate(world: World, users: int, *, seed: int = 7) -> None:
    """Users of the project ``shop`` with monthly limits and some days of spend; the nasty ones among them.

    Many threads at once, so that commits share a transaction.
    """
    chance = random.Random(seed)
    store = world.store
    plans = [(f"user-{number:05d}", chance.random()) for number in range(users)]
    plans += [(name, 0.4) for name in NASTY]

    def make(plan: tuple[str, float]) -> None:
        name, luck = plan
        own = random.Random(name)
        key = AccountKey("shop", "user", name)
        limit = own.choice((5, 10, 20, 50)) * USD
        terms = Declaration(
            limit=limit, duration="monthly", creates=True, created_at=time.time_ns() // 1_000 - 45 * DAY
        )
        store.define(key, terms)
        share = luck**3 if luck < 0.995 else 1.02
        ago = int(own.random() ** 1.6 * 29 * DAY)
        spend(
            store,
            key,
            int(limit * share),
            own.choices(MODELS, range(len(MODELS), 0, -1))[0],
            f"c-{name}",
            ago=ago,
        )

    with ThreadPoolExecutor(48) as pool:
        list(pool.map(make, plans))


needs_chromium = pytest.mark.skipif(
    not os.path.exists(CHROMIUM) and not os.environ.get("CI"),
    reason=f"there is no Chromium at {CHROMIUM}: apt-get install chromium, or set ALLOWANCE_TEST_CHROMIUM",
)
"""Skips where no browser is installed; in CI it fails then."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[Page]:
    """A page on which nothing may go wrong: no error, no breach of the policy, no dialog, no other host."""
    context = browser.new_context(**options)
    page = context.new_page()
    wrong: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{origin}/", "data:")):
            wrong.append(f"it asked {request.url}")

    def alerted(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("request", asked)
    page.on("dialog", alerted)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []

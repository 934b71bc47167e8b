"""Stores by their URLs, and where the default one lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey, Declaration
from allowance.stores.base import Store
from allowance.stores.memory import MemoryStore
from allowance.stores.open import default_path, default_url, open_store
from allowance.stores.sqlite import SQLiteStore


def test_memory() -> None:
    first, second = open_store("memory://"), open_store("memory://")
    assert isinstance(first, MemoryStore)
    assert first is not second
    assert open_store(first) is first


def test_files_by_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative, absolute = open_store("sqlite:///a%20b.db"), open_store(f"sqlite:///{tmp_path}/a%20b.db")
    key = AccountKey("p", "user", "n")
    relative.define(key, Declaration(limit=5, creates=True))
    account = absolute.account(key)
    assert account is not None
    assert isinstance(relative, SQLiteStore)
    assert (tmp_path / "a b.db").exists()
    again = open_store(relative.url)
    assert again.url == absolute.url == relative.url
    for store in (relative, absolute, again):
        assert isinstance(store, Store)
        store.close()


def test_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("sqlite:///~/budgets/a.db").close()
    assert (tmp_path / "budgets" / "a.db").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://budgets.example", "later version"),
        ("postgresql://user:secret@host/db", "later version"),
        ("redis://:secret@host", "later version"),
        ("mysql://host", "'mysql' names no store"),
        ("sqlite://a.db", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("memory://x", "memory://"),
        ("budgets.db", "sqlite:///relative.db"),
        ("", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///a%00b", "path of a file"),
    ],
)
def test_urls_that_name_no_store(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("thing", [None, 5, object()])
def test_things_that_are_no_store(thing: object) -> None:
    with pytest.raises(ConfigurationError, match="not"):
        open_store(thing)  # type: ignore[arg-type]  # bad on purpose


def test_the_default_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_path() == "/home/me/.local/state/allowance/allowance.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_path() == "/home/me/.local/state/allowance/allowance.db"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_url() == "sqlite:////var/state/allowance/allowance.db"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_path() == "/home/me/Library/Application Support/allowance/allowance.db"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_path() == os.path.join("/local", "allowance", "allowance.db")


def test_sqlite_is_imported_only_when_a_file_store_is_named() -> None:
    code = (
        "import sys, allowance.stores.open as o; o.open_store('memory://'); print('sqlite3' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"

"""Stores by their URLs, and where the default one lies."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from allowance.errors import ConfigurationError
from allowance.ledger.records import AccountKey, Declaration
from allowance.stores.base import Store
from allowance.stores.hosted import HostedStore
from allowance.stores.memory import MemoryStore
from allowance.stores.open import default_path, default_url, is_hosted, open_store
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
        ("https://user:secret@budgets.example", "holds a user or a password"),
        ("http://budgets.example/secret", "in the open"),
        ("postgresql://user:secret@host/db?nosuch=1", "not shown"),
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


def test_hosted_stores() -> None:
    store = open_store("https://budgets.example/team", api_key="alw_k1_secret_00")
    assert isinstance(store, HostedStore)
    assert isinstance(store, Store)
    assert (store.url, store.rank) == ("https://budgets.example/team", 2)
    assert "secret" not in repr(store)
    assert open_store("http://127.0.0.1:4100").url == "http://127.0.0.1:4100"
    assert open_store("http://budgets.example", allow_insecure=True).url == "http://budgets.example"
    assert is_hosted("https://b")
    assert is_hosted("http://b")
    assert not is_hosted("sqlite:///b")
    assert not is_hosted(store)


def test_databases_connect_when_they_are_asked() -> None:
    for scheme in ("postgresql", "postgres"):
        store = open_store(f"{scheme}://user:secret@nowhere.invalid/db")
        assert isinstance(store, Store)
        assert (store.url, store.rank) == ("postgresql://user@nowhere.invalid/db", 2)
        store.close()


def test_a_missing_extra_says_what_to_install() -> None:
    code = """
        import sys
        sys.modules["psycopg"] = None
        from allowance.errors import ConfigurationError
        from allowance.stores.open import open_store
        try:
            open_store("postgresql://user:secret@host/db")
        except ConfigurationError as error:
            print(error)
    """
    shown = _python(textwrap.dedent(code))
    assert "pip install 'allowance[postgres]'" in shown
    assert "secret" not in shown


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


def test_what_a_store_needs_is_imported_only_when_it_is_named() -> None:
    code = (
        "import sys, allowance.stores.open as o; o.open_store('memory://'); "
        "print([name for name in ('sqlite3', 'psycopg', 'allowance.stores.hosted') if name in sys.modules])"
    )
    assert _python(code).strip() == "[]"


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

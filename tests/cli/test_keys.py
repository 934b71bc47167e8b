"""``allowance keys``: on the server's own database, and over HTTP."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from allowance.cli.words import name_in_copies, to_copy
from allowance.server.keys import Keys, key_account
from allowance.server.state import open_state
from allowance.stores.open import open_store
from tests.cli.terminal import run
from tests.server.running import inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import InProcess

TOKEN = re.compile(r"alw_[a-z0-9]{12}_[a-z2-7]{52}_[0-9a-f]{8}")


@pytest.fixture
def keys(here: InProcess) -> Iterator[Keys]:
    """The keys of the server whose store is in use."""
    with closing(open_state(here.environment["ALLOWANCE_STORE"])) as state:
        yield Keys(state)


def test_a_key_is_made_and_its_token_alone_is_printed(here: InProcess, keys: Keys) -> None:
    done = here("keys", "add", "app", "--scope", "spend", "--project", "a, b", "--expires", "30d")
    assert done.code == 0, done.err
    token = done.out.strip()
    assert TOKEN.fullmatch(token)
    assert token not in done.err
    assert "spend in a, b" in done.err
    found = keys.check(token)
    assert found is not None
    assert (found.name, found.projects, found.scopes) == ("app", {"a", "b"}, {"spend"})
    assert found.expires_at is not None
    assert f"allowance keys revoke {found.key_id}" in done.err


def test_a_key_with_a_budget_and_fixed_terms(here: InProcess, keys: Keys) -> None:
    words = ("--limit", "$1,000", "--duration", "monthly", "--fixed-terms", "--json")
    done = here("keys", "add", "app", "--scope", "spend", "--scope", "read", *words)
    answer = json.loads(done.out)
    found = keys.check(answer["token"])
    assert found is not None
    assert (found.budgeted, found.fixed_terms, found.projects) == (True, True, None)
    with closing(open_store(here.environment["ALLOWANCE_STORE"])) as store:
        account = store.account(key_account("app"))
    assert account is not None
    assert (account.limit, account.terms.duration) == (1_000_000_000_000, "monthly")


def test_keys_are_listed_rotated_and_revoked(here: InProcess, keys: Keys) -> None:
    first = here("keys", "add", "app", "--scope", "spend").out.strip()
    rotated = here("keys", "rotate", "app", "--overlap", "1h")
    assert "The old token works for 1h more" in rotated.err
    second = rotated.out.strip()
    assert keys.check(first)
    assert keys.check(second)
    listed = here("keys", "list")
    assert [line.split()[0] for line in listed.lines] == ["name", "app", "app"]
    assert "for 59 min" in listed.out or "for 1 h" in listed.out
    assert here("keys", "revoke", "app").lines == [
        f"Revoked app ({token.split('_')[1]})." for token in (first, second)
    ]
    empty = here("keys", "list")
    assert "allowance keys add" in empty.out
    assert "--all" in empty.out
    assert here("keys", "list", "--all").out.count("revoked") == 2
    shown = json.loads(here("keys", "list", "--all", "--json").out)
    assert {one["name"] for one in shown} == {"app"}
    for token in (first, second):
        assert token.split("_")[2] not in json.dumps(shown) + listed.out
    assert here("keys", "rotate", "app", "--overlap", "0s").code == 2


def test_who_typed_is_in_the_audit_log(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    here("keys", "add", "app", "--scope", "read")
    with closing(open_state(here.environment["ALLOWANCE_STORE"])) as state:
        assert [(line.actor, line.action) for line in state.audit_lines()] == [("cli:ann", "key.add")]


def test_without_a_verb_it_shows_what_there_is(here: InProcess) -> None:
    done = here("keys")
    assert done.code == 0
    for verb in ("add", "list", "rotate", "revoke"):
        assert f"allowance keys {verb} " in done.out
        assert f"usage: allowance keys {verb}" in here("keys", verb, "--help").out
    assert "Not understood: bogus" in here("keys", "bogus").err


MISTYPED = {
    "no scope": (("keys", "add", "app"), "--scope"),
    "an unknown scope": (("keys", "add", "app", "--scope", "root"), "spend"),
    "a taken name": (("keys", "add", "taken", "--scope", "spend"), "rotate"),
    "a duration alone": (("keys", "add", "app", "--scope", "spend", "--duration", "daily"), "--limit"),
    "no limit": (("keys", "add", "app", "--scope", "spend", "--limit", "none"), "--limit"),
    "a limit in words": (("keys", "add", "app", "--scope", "spend", "--limit", "five"), "0.25"),
    "an end that is over": (("keys", "add", "app", "--scope", "spend", "--expires", "2020-01-01"), "later"),
    "an end in words": (("keys", "add", "app", "--scope", "spend", "--expires", "soon"), "30"),
    "a long overlap": (("keys", "rotate", "taken", "--overlap", "60d"), "overlap"),
    "nobody's": (("keys", "revoke", "nobody"), "allowance keys list"),
}


@pytest.mark.parametrize("case", MISTYPED)
def test_what_was_mistyped_exits_2_and_names_the_remedy(case: str, here: InProcess, keys: Keys) -> None:
    keys.mint("taken", ["spend"], actor="cli:me")
    words, remedy = MISTYPED[case]
    done = here(*words)
    assert (done.code, done.out) == (2, "")
    assert remedy in done.err
    assert len(keys.listed()) == 1


def test_it_finds_the_store_that_serve_takes_by_itself(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOWANCE_STORE")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    missing = here("keys", "list")
    assert missing.code == 2
    assert "allowance serve" in missing.err
    assert not list((tmp_path / "empty").iterdir())
    assert TOKEN.fullmatch(here("keys", "add", "app", "--scope", "spend").out.strip())
    assert (tmp_path / "empty" / "allowance-server.db").exists()


# -- over HTTP ----------------------------------------------------------------------------------------


def test_a_clear_connection_elsewhere_and_a_missing_key_are_refused(env: dict[str, str]) -> None:
    done = run("keys", "list", "--store", "http://budgets.example", env={**env, "ALLOWANCE_API_KEY": "x"})
    assert (done.code, "https://budgets.example" in done.err) == (2, True)
    done = run("keys", "list", "--store", "https://budgets.example", env=env)
    assert (done.code, "ALLOWANCE_API_KEY" in done.err) == (2, True)


def test_an_admin_does_the_same_from_afar(env: dict[str, str], tmp_path: Path) -> None:
    with inside(f"sqlite:///{tmp_path}/x.db") as server:
        keys, token = server.keys, server.admin_key
        reader = server.mint("reader", ["read"])
        afar = {**env, "ALLOWANCE_STORE": server.url, "ALLOWANCE_API_KEY": token}
        made = run("keys", "add", "app", "--scope", "spend", "--limit", "5", env=afar)
        assert TOKEN.fullmatch(made.out.strip()), made.err
        assert keys.check(made.out.strip())
        assert "app (has a budget)" in run("keys", "list", env=afar).out
        assert "Revoked app" in run("keys", "revoke", "app", env=afar).out
        assert keys.check(made.out.strip()) is None
        assert {line.actor for line in server.state.audit_lines()} == {"test", token.split("_")[1]}
        refused = run("keys", "list", env={**afar, "ALLOWANCE_API_KEY": reader})
        assert (refused.code, "scope" in refused.err) == (2, True)
        assert reader.split("_")[2] not in refused.err
        wrong = run("keys", "revoke", "nobody", env=afar)
        assert (wrong.code, "There is no key 'nobody'" in wrong.err) == (2, True)
    gone = run("keys", "list", env=afar)
    assert (gone.code, "did not answer" in gone.err) == (3, True)
    assert token not in gone.err


def test_no_password_of_a_database_stands_in_commands_to_copy() -> None:
    name_in_copies(store="postgresql://app:hunter:2@db/budgets?sslmode=require", project=None)
    try:
        copied = to_copy("keys", "revoke", "app")
        assert copied == "allowance keys revoke app --store 'postgresql://app@db/budgets?sslmode=require'"
    finally:
        name_in_copies(store=None, project=None)

"""Every command over ``--store https://...`` does and says what it does over a file; and what doctor adds."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from allowance.calls.journal.frames import framed
from allowance.calls.journal.operations import LetGo, Post
from allowance.calls.journal.place import directory_of
from allowance.cli import main
from allowance.cli.parser import COMMANDS
from allowance.ledger.records import Posting
from tests.cli.conftest import EXPIRED, InProcess
from tests.cli.terminal import Done
from tests.server.running import Inside, inside


@pytest.fixture(scope="module")
def server(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A server on a store in use."""
    path = tmp_path_factory.mktemp("server") / "served.db"
    shutil.copy(filled, path)
    with inside(f"sqlite:///{path}") as running:
        yield running


@pytest.fixture
def there(server: Inside, here: InProcess, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """Runs commands in this process; ``--store`` decides where."""
    monkeypatch.setenv("ALLOWANCE_API_KEY", server.admin_key)
    return here


COMMANDS_ALIKE = [
    "budgets",
    "budgets --json",
    "show alice",
    "show carol --json",
    "why alice --model gpt-4o --max-tokens 100",
    "why dave",
    "report",
    "report --by model",
    "report --by tag --json",
    "audit",
    "set erin --limit 5 --duration monthly",
    "set alice --limit 9",
    "set nobody --duration daily",
    "add alice 3 --reason gift",
    f"release {EXPIRED} --yes",
    "release nosuch",
    "reset carol --yes",
    "delete bob --yes",
    "delete bob --yes",
    "show bob",
    "watch --count 1",
    "export {folder}/users.json",
    "import {folder}/users.json",
    "budgets",
    "audit --json",
    "quote --model gpt-4o --max-tokens 5 hello",
]
"""In this order: later ones see what earlier ones did. The same on both stores, but for the store's name."""


def test_every_command_does_over_http_what_it_does_over_a_file(
    there: InProcess, server: Inside, tmp_path: Path
) -> None:
    file = there.environment["ALLOWANCE_STORE"]
    for line in COMMANDS_ALIKE:
        words = line.format(folder=tmp_path).split()
        far, near = (there(*words, "--store", url) for url in (server.url, file))
        assert (far.code, _plain(far, server.url)) == (near.code, _plain(near, file)), line
        assert server.admin_key not in far.out + far.err
    used = {line.split()[0] for line in COMMANDS_ALIKE}
    others = {"doctor", "prices", "keys", "serve", "sweep"}  # tried elsewhere, or no matter of a hosted store
    assert {name.split()[0] for name in COMMANDS} - used <= others


SPAN = re.compile(r"\b\d+ (d|h|min|s)( \d+ (h|min|s))?\b")
"""How long something lasts yet: the second store is asked a little later."""


def _plain(done: Done, url: str) -> list[str]:
    told = SPAN.sub("(span)", (done.text + done.err).replace(url, "THE STORE"))
    return [line for line in told.splitlines() if " made " not in line and " window " not in line]


def doctor(capsys: pytest.CaptureFixture[str], url: str) -> dict[str, dict[str, str]]:
    main(["doctor", "--quick", "--json", "--store", url])
    told = capsys.readouterr()
    return {check["name"]: check for check in json.loads(told.out)["checks"] if check["group"] == "store"}


@pytest.mark.usefixtures("there")
def test_doctor_tells_the_servers_protocol_and_whether_it_takes_the_key(
    capsys: pytest.CaptureFixture[str], server: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = doctor(capsys, server.url)
    assert {name: check["state"] for name, check in found.items()} == dict.fromkeys(
        ("store", "key", "journal"), "ok"
    )
    assert "protocol 1" in found["store"]["text"]
    token = server.mint("revoked by the doctor's test", ["read"])
    server.keys.revoke("revoked by the doctor's test", actor="test")
    monkeypatch.setenv("ALLOWANCE_API_KEY", token)
    found = doctor(capsys, server.url)
    assert found["store"]["state"] == "problem"
    assert "refuses the key" in found["store"]["text"]
    assert token.split("_")[2] not in str(found)


@pytest.mark.usefixtures("there")
def test_doctor_tells_what_waits_for_a_server_that_is_away_and_what_it_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "http://127.0.0.1:9"  # the port of nobody
    directory = Path(directory_of(url))
    directory.mkdir(parents=True)
    now = time.time_ns() // 1000
    lines = [
        framed({"n": number, "at": now, "store": url, **operation.dump()})
        for number, operation in enumerate([Post(Posting("a", 5)), LetGo("b"), LetGo("c")])
    ]
    (directory / "1-dead-0.journal").write_bytes(b"".join([*lines, framed({"done": 1})]))
    (directory / "refused").write_bytes(lines[0])
    found = doctor(capsys, url)
    assert found["store"]["state"] == "problem"
    assert found["journal"]["text"].startswith("2 costs and holds wait")
    assert found["refused"]["text"].startswith("1 record ")


@pytest.mark.usefixtures("there")
def test_doctor_shows_no_key(capsys: pytest.CaptureFixture[str], server: Inside) -> None:
    for words in ([], ["--json"]):
        main(["doctor", "--quick", "--store", server.url, *words])
        told = capsys.readouterr()
        assert "set, and not shown" in told.out
        assert server.admin_key not in told.out + told.err

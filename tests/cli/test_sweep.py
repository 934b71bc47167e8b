"""``allowance sweep``: a server's background job, once."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

from allowance.server.state import open_state
from tests.cli.conftest import OPEN, InProcess
from tests.server.test_webhooks import receiving

if TYPE_CHECKING:
    from pathlib import Path

    from allowance.stores.memory import MemoryStore


def test_it_charges_what_is_over_and_says_so(here: InProcess, memory: MemoryStore) -> None:
    memory._clock = lambda clock=memory._clock: clock() + 86_400_000_000
    done = here("sweep", store=memory)
    assert (done.code, done.lines) == (0, ["1 expired hold charged, 0 lines folded."])
    found = memory.hold(OPEN)
    assert found is not None
    assert found.state == "expired"
    assert json.loads(here("sweep", "--json", store=memory).out) == {
        "expired": 0,
        "folded": 0,
        "events": 0,
        "sent": 0,
    }


def test_it_folds_what_is_older_than_the_retention(here: InProcess) -> None:
    before = json.loads(here("show", "alice", "--json").out)["budgets"][0]
    done = json.loads(here("sweep", "--retention-days", "10", "--json").out)
    assert done["folded"] > 0
    assert here("audit").code == 0
    after = json.loads(here("show", "alice", "--json").out)["budgets"][0]
    assert after["spent"] == before["spent"]
    for days in ("7", "-1", "x"):
        refused = here("sweep", "--retention-days", days)
        assert refused.code == 2
        assert "--retention-days" in refused.err


def test_it_tells_webhooks_of_a_servers_store_and_leaves_it_to_a_server_that_runs(
    here: InProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of sixteen characters or more\n")
    with receiving() as receiver:
        words = ("sweep", "--webhook", receiver.url, "--webhook-secret-file", str(secret))
        assert "No server has kept its keys" in here(*words).err
        with closing(open_state(here.environment["ALLOWANCE_STORE"])) as state:
            done = here(*words)
            assert done.code == 0, done.err
            assert done.lines[0].endswith("events found, " + f"{len(receiver.got)} letters sent.")
            assert {"threshold"} == {body["type"] for body in receiver.bodies}
            assert state.take_lease("sweeps", "a server", 60)
            assert "A server is doing it" in here(*words).out
    missing = here("sweep", "--webhook", "https://example.com", "--webhook-secret-file", "/no/such/file")
    assert (missing.code, "/no/such/file" in missing.err) == (2, True)
    assert here("sweep", "--webhook", "https://example.com").code == 2

"""R14 with a real server that is really killed, for a moment; for a minute: `tests.proofs.server_away`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from allowance.calls import journal
from tests.calls import remote
from tests.proofs.server_away import prove


@pytest.fixture(autouse=True)
def _own_journals() -> Iterator[None]:
    yield
    journal._after_fork()


def test_r14_every_call_is_counted_once_though_the_server_is_away_in_the_midst_of_them() -> None:
    outcome = prove(0.5, threads=4, pause=0.03)
    assert outcome.differences == []
    assert outcome.counted == outcome.paid
    assert outcome.waited, "nothing waited: the server was not away"
    assert outcome.refused, "calls whose budget must be asked fail closed"
    assert not list(remote.directory().parent.rglob("*.journal"))

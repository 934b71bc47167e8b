"""Methods of the SDKs' own, decorated as they are: reserved for by their arguments, and charged once."""

from __future__ import annotations

from typing import Any

import pytest

from allowance import BudgetExceededError, budgeted
from allowance.stores.memory import MemoryStore
from tests.matrix.engine import Bench, Cell
from tests.matrix.methods import IN_COLOURS, METHODS
from tests.matrix.row import BOTH, Endpoint, Row

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDKs warn of themselves


def wrapped(bench: Bench, name: str, colour: str, limit: float) -> Cell:
    """A call of a decorated method; it is made under no other budget."""
    sdk, method, arguments, nanos = METHODS[name]
    client = bench.clients_of(sdk)[BOTH.index(colour)]
    ask: Any = budgeted(user="alice", limit=limit)(method(client))
    row = Row(name, lambda _: ask(**arguments), nanos)
    return Cell(sdk, Endpoint(name, lambda _: None, (row,)), row, colour)


@pytest.mark.parametrize(("name", "colour"), IN_COLOURS)
def test_a_decorated_method_is_charged_once(name: str, colour: str, bench: Bench, store: MemoryStore) -> None:
    cell = wrapped(bench, name, colour, limit=1)
    bench.prepare(cell.row, store)
    bench.make(cell, "nothing else", limit=0)
    bench.check("decorated", store, cell.row.nanos, requests=1)


@pytest.mark.parametrize(("name", "colour"), IN_COLOURS)
def test_r1_a_decorated_method_that_does_not_fit_sends_nothing(
    name: str, colour: str, bench: Bench, store: MemoryStore
) -> None:
    cell = wrapped(bench, name, colour, limit=1e-9)
    bench.prepare(cell.row, store)
    with pytest.raises(BudgetExceededError):
        bench.make(cell, "nothing else", limit=0)
    bench.check("decorated", store, nanos=0, requests=0)

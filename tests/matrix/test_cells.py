"""Every cell of the matrix: SDK x endpoint x form x colour x how the budget comes to the call, over HTTP."""

from __future__ import annotations

import pytest

from allowance import BudgetExceededError, UnknownModelError
from allowance.stores.memory import MemoryStore
from tests.matrix.engine import WAYS, Bench, Cell, cells
from tests.matrix.rows import SDKS

# The SDKs warn of themselves and of one another; allowance's own warnings are tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore")

CELLS = cells(SDKS)
PRICED = [cell for cell in CELLS if cell.row.nanos]
UNPRICED = [cell for cell in CELLS if cell.row.prices]


def each(chosen: list[Cell]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cell", chosen, ids=lambda cell: cell.name)


@pytest.mark.parametrize("way", WAYS)
@each(CELLS)
def test_a_call_costs_exactly_what_is_billed(cell: Cell, way: str, bench: Bench, store: MemoryStore) -> None:
    bench.prepare(cell.row, store)
    bench.make(cell, way, limit=1 if cell.row.nanos else 0)  # what is free is never blocked
    bench.check(way, store, cell.row.nanos, cell.row.requests)


@pytest.mark.parametrize("way", WAYS)
@each(PRICED)
def test_r1_a_call_that_does_not_fit_is_not_sent(
    cell: Cell, way: str, bench: Bench, store: MemoryStore
) -> None:
    bench.prepare(cell.row, store)
    with pytest.raises(BudgetExceededError):
        bench.make(cell, way, limit=1e-9)
    bench.check(way, store, nanos=0, requests=0)


@each(UNPRICED)
def test_r10_a_model_without_a_price_is_not_sent(cell: Cell, bench: Bench, store: MemoryStore) -> None:
    bench.prepare(cell.row, store, priced=False)
    with pytest.raises(UnknownModelError):
        bench.make(cell, "block", limit=1)
    bench.check("block", store, nanos=0, requests=0)

"""The suite that every store passes, and a store that you write can pass too.

::

    from allowance.stores.contract import StoreContract

    class TestMyStore(StoreContract):
        def make_store(self, clock):
            return MyStore(clock=clock)

pytest finds the tests in the subclass. Each makes a store of its own by ``make_store``; ``clock()`` gives
microseconds since 1970 and is moved by hand. Tests of a rule bear its number. After each test the
store's ``audit()`` must find nothing.
"""

from __future__ import annotations

from allowance.stores.contract.bench import ManualClock
from allowance.stores.contract.books import BookContract
from allowance.stores.contract.families import FamilyContract
from allowance.stores.contract.holds import HoldContract
from allowance.stores.contract.keeping import KeepingContract
from allowance.stores.contract.pruning import PruningContract

__all__ = ["ManualClock", "StoreContract"]


class StoreContract(HoldContract, BookContract, FamilyContract, KeepingContract, PruningContract):
    """Subclass it, and say in ``make_store`` how a new, empty store is made."""

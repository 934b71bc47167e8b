"""The ledger's rules as pure functions: no I/O, and no clock of its own."""

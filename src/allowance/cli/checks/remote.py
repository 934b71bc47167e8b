"""A store on another machine: whether it answers, what it is, and what still waits for it here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from allowance.calls.journal.files import JournalFile, read_file
from allowance.calls.journal.frames import read_frames
from allowance.calls.journal.place import SUFFIX, directory_of
from allowance.calls.journal.refusals import REFUSED
from allowance.cli.checks.check import Check
from allowance.cli.words import counted
from allowance.errors import BudgetError
from allowance.stores.hosted import HostedStore
from allowance.stores.open import open_store
from allowance.wire import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allowance.stores.base import Store

__all__ = ["remote_checks"]

_NOBODY: Final = "allowance doctor"
"""An id that no call has."""


def remote_checks(url: str, *, api_key: str | None, allow_insecure: bool) -> Iterator[Check]:
    """The checks of the hosted store or the database of this URL."""
    try:
        store = open_store(url, api_key=api_key, allow_insecure=allow_insecure)
    except BudgetError as error:
        yield Check("store", "problem", str(error))
        return
    try:
        if isinstance(store, HostedStore):
            yield from _server_checks(store)
        else:
            yield Check("store", "ok", f"{store.url} (it is not asked: the first to ask makes its tables)")
    finally:
        store.close()
    yield from _journal_checks(store)


def _server_checks(store: HostedStore) -> Iterator[Check]:
    try:
        about = store.about()
        if about is not None:
            yield _protocol(store, about)
        store.hold(_NOBODY)
    except BudgetError as error:
        yield Check("store", "problem", str(error))
        return
    if about is None:
        yield Check(
            "store",
            "note",
            f"{store.url} has only LiteLLM's /get_budget and /set_budget: within one program each call is "
            "exact, but two programs can spend the same money.",
            "Run `allowance serve` in its place; LiteLLM's clients can use it too.",
        )
    else:
        yield Check("key", "ok", "the server takes it" if store.has_key else "the server asks for none")


def _protocol(store: HostedStore, about: dict[str, object]) -> Check:
    spoken = about.get("protocol")
    said = f"{store.url}: allowance {about.get('version')}, protocol {spoken}"
    if spoken == PROTOCOL:
        return Check("store", "ok", said)
    return Check(
        "store", "problem", f"{said}; this version speaks {PROTOCOL}.", "Update the older of the two."
    )


def _journal_checks(store: Store) -> Iterator[Check]:
    directory = directory_of(store.url)
    waiting, damaged = _waiting(directory)
    refused = _refused(os.path.join(directory, REFUSED))
    if damaged:
        yield Check("journal", "note", f"{counted(damaged, 'file')} in {directory} cannot be read.")
    if waiting:
        yield Check(
            "journal",
            "note",
            f"{counted(waiting, 'cost or hold', 'costs and holds')} wait in {directory} for the store.",
            "Programs that run post theirs; those of dead ones go with the next program that uses the store.",
        )
    elif not damaged:
        yield Check("journal", "ok", "nothing waits for the store")
    if refused:
        yield Check(
            "refused",
            "note",
            f"{counted(refused, 'record')} that the store refuses, in {os.path.join(directory, REFUSED)}.",
            "Each line tells why. Post what is owed by hand, then remove the file.",
        )


def _waiting(directory: str) -> tuple[int, int]:
    """How many operations wait, and how many files cannot be read. Nobody's lock is asked for."""
    waiting = damaged = 0
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if not name.endswith(SUFFIX):
            continue
        try:
            with open(os.path.join(directory, name), "rb", buffering=0) as opened:
                waiting += len(read_file(JournalFile(opened.name, opened.fileno())))
        except FileNotFoundError:
            continue  # it was done a moment ago
        except OSError:
            damaged += 1
    return waiting, damaged


def _refused(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return len(read_frames(file.read())[0])
    except OSError:
        return 0

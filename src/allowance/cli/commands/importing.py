"""``allowance import``: LiteLLM's ``user_cost.json`` taken over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import Exit
from allowance.cli.inputs import open_manager, path_of, project_of, store_url
from allowance.cli.words import counted, to_copy, usd
from allowance.ledger.records import AccountKey, Declaration, Posting, Scope

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from allowance.cli.output import Console
    from allowance.manager import BudgetManager
    from allowance.manager.records import ImportReport
    from allowance.stores.base import Store

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Take over the users of LiteLLM's user_cost.json: their budgets, and what they have spent. The same "
    "file again changes nothing, and a newer one adds what is new in it. A user who has a budget here "
    "already keeps it. Exits 1 if something in the file was not taken."
)
EXAMPLES: Final = """
allowance import user_cost.json
allowance import user_cost.json --dry-run
allowance import user_cost.json --project my-app
"""

_SHOWN: Final = 20
_FROM_FILE: Final = "user_cost.json "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", metavar="FILE", help="LiteLLM's user_cost.json")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be taken")
    parser.add_argument(
        "--all", action="store_true", help=f"list all that was not taken, not the first {_SHOWN}"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Take them over, and tell what was not taken."""
    from allowance.manager.user_cost import read_users

    users = read_users(args.file)  # before a store is made for what cannot be read
    manager = _rehearsal(users, args, console) if args.dry_run else open_manager(args, console, making=True)
    with console.progress(None, "Importing") as progress:
        report = manager.import_user_cost(args.file, progress=progress)
    if console.json:
        console.data({**report.as_dict(), "dry_run": args.dry_run, "project": manager.project_name})
    else:
        _tell(report, manager, args, console)
    return Exit.NO if report.problems else Exit.DONE


def _tell(report: ImportReport, manager: BudgetManager, args: argparse.Namespace, console: Console) -> None:
    console.line(f"{counted(report.users, 'user')} in {args.file}:")
    refused = len(report.problems)
    console.fields(
        [
            ("new here", f"{report.created:,}"),
            ("as before", f"{report.unchanged:,}"),
            ("spend added", usd(report.posted)),
            ("not taken", f"{refused:,}, see below" if refused else "nothing"),
        ]
    )
    if refused:
        console.title("Not taken")
        shown = refused if args.all else _SHOWN
        for problem in report.problems[:shown]:
            console.text(problem, indent="  ", then="    ")
        if refused > shown:
            console.aside(f"  and {refused - shown:,} more: --all lists them")
    console.line()
    if args.dry_run:
        console.line("Nothing was written (--dry-run).")
    else:
        console.line(f"They are in project {manager.project_name}. Look: {to_copy('budgets')}")


def _rehearsal(users: Mapping[str, Any], args: argparse.Namespace, console: Console) -> BudgetManager:
    """A manager in memory that knows of these users what the store does, as far as importing goes by it."""
    from allowance.manager import BudgetManager
    from allowance.stores.memory import MemoryStore

    stage = MemoryStore()
    asked = store_url(args)
    path = path_of(asked) if isinstance(asked, str) else None
    if path is None or os.path.lexists(path):
        _copy(open_manager(args, console).store, stage, project_of(args), users)
    return BudgetManager(project_of(args), store=stage)


def _copy(store: Store, stage: Store, project: str, users: Mapping[str, Any]) -> None:
    names = {name.strip() for name in users}
    for account in store.accounts(project):
        key = account.key
        if key.kind != "user" or key.label or key.name not in names:
            continue
        stage.define(key, Declaration(creates=True, created_at=account.created_at))
        for entry in store.entries(key):
            if entry.hold_id is not None and entry.hold_id.startswith(_FROM_FILE):
                stage.settle(
                    Posting(entry.hold_id, entry.amount, (Scope(AccountKey(*key)),), entry.model, at=entry.at)
                )

"""``allowance ...``: budgets from the command line. See `allowance.cli.parser` for its commands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allowance.stores.base import Store

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, store: Store | None = None) -> int:
    """Run one command, and return its exit code (`allowance.cli.exits.Exit`).

    Args:
        argv: the words after ``allowance``; those of the process where None.
        store: a store that is open already, in place of the one that the words or the environment name.
    """
    from allowance.cli.exits import Exit, explained
    from allowance.cli.output import Console
    from allowance.cli.parser import parse

    _replace_closed_streams()
    console = Console(sys.stdout, sys.stderr)
    try:
        invocation = parse(sys.argv[1:] if argv is None else list(argv), console)
        if invocation is None:
            code: int = Exit.DONE  # help, or the version
        else:
            console.configure(json=invocation.args.json, colour=not invocation.args.no_color)
            invocation.args.store = store or invocation.args.store
            code = invocation.command.run(invocation.args, console)
        console.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        console.abandon()  # whoever reads has seen enough, as in `| head`
        return Exit.DONE
    except Exception as error:
        told = explained(error)
        if told is None:
            raise  # a defect of ours: its traceback is what a report needs
        if isinstance(error, OSError):
            console.abandon()  # the disk is full: what waits would be tried again, and complained of
        console.error(told.message)
        return told.code
    return code


def _replace_closed_streams() -> None:
    """What was closed before the program began is opened anew, on nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # to the end

"""Ids of calls, which are the ids of their holds, unique among all processes; and the name of this one."""

from __future__ import annotations

import itertools
import os

__all__ = ["made_here", "new_id", "owner"]


def _begin() -> None:
    # 64 random bits per process, then a number: a forked child must not go on with its parent's.
    global _prefix, _numbers, _owner
    _prefix = os.urandom(8).hex()
    _owner = f"{_host()}:{os.getpid()}"
    _numbers = itertools.count()


def _host() -> str:
    # socket.gethostname() says the same, and takes longer to import than all that calls do.
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


_prefix = ""
_owner = ""
_numbers = itertools.count()
_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def new_id() -> str:
    """A fresh id, 28 characters or more; safe to call from any thread."""
    return f"{_prefix}{next(_numbers):012x}"


def made_here(call_id: str) -> bool:
    """Whether this process made the id: a forked child holds calls of its parent's, and must not end them."""
    return call_id.startswith(_prefix)


def owner() -> str:
    """This process, as others tell whose a hold is: ``"host:pid"``."""
    return _owner

"""Runs the real program: in a pipe, and in a real terminal of a given size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAM = [sys.executable, "-m", "allowance"]
PATIENCE = 60.0

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Done:
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str = ""

    @property
    def text(self) -> str:
        """What a reader sees: no colours, no movements, ends of lines as in a file."""
        return _CONTROL.sub("", self.out).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def run(*words: str, env: Mapping[str, str], stdin: str = "") -> Done:
    """Run it in a pipe."""
    done = subprocess.run(
        [*PROGRAM, *words], env=dict(env), input=stdin, capture_output=True, text=True, timeout=PATIENCE
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Terminal:
    """The program in a terminal of its own; standard output and error both go there."""

    def __init__(
        self, *words: str, env: Mapping[str, str], columns: int = 80, lines: int = 24, term: str = "xterm"
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            env={**env, "TERM": term},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.printed = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def wait_for(self, seen: Callable[[str], bool] | str) -> str:
        """Read until something was printed; returns all that was."""
        wanted = seen if callable(seen) else lambda printed: seen in printed
        deadline = time.monotonic() + PATIENCE
        while not wanted(self.printed):
            assert time.monotonic() < deadline, f"never printed; but {self.printed!r}"
            if not self._read():
                assert wanted(self.printed), f"ended without; printed {self.printed!r}"
                break
        return self.printed

    def end(self) -> Done:
        """Read to the end."""
        while self._read():
            pass
        code = self.process.wait(PATIENCE)
        os.close(self._ours)
        return Done(code, self.printed)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        assert ready, f"silent; printed {self.printed!r}"
        try:
            some = os.read(self._ours, 65536)
        except OSError:  # Linux, when nobody has the other end open any more
            return False
        self.printed += some.decode("utf-8", "replace")
        return bool(some)


def in_terminal(
    *words: str, env: Mapping[str, str], columns: int = 80, lines: int = 24, term: str = "xterm"
) -> Done:
    """Run it in a terminal, to its end."""
    return Terminal(*words, env=env, columns=columns, lines=lines, term=term).end()


def columns_of(line: str) -> int:
    """How many columns a line takes; reckoned here anew, not with the program's own function."""
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(character) in ("W", "F")
        else 1
        for character in line
    )

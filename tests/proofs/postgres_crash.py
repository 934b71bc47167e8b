"""A PostgreSQL server of one's own, killed with ``kill -9`` in mid-load, again and again.

    python -m tests.proofs.postgres_crash [CYCLES]

Makes a cluster in a directory of its own (`initdb`, as the user postgres where this is root), lets two
processes of eight threads reserve and settle on twenty budgets, kills every process of the server at once,
starts it again, and looks: what was acknowledged is there, once; no limit is passed; the audit finds nothing.
The workers go on through all of it. Twenty cycles unless told.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from glob import glob
from pathlib import Path

from allowance.errors import StoreUnavailableError
from allowance.stores.contract.bench import ALICE
from allowance.stores.postgres import PostgresStore
from tests.stores.test_postgres_processes import check, workers


class Cluster:
    """A server in a directory, on a free port of loopback."""

    def __init__(self, folder: str) -> None:
        self.data = f"{folder}/data"
        self.folder = folder
        found = [shutil.which("postgres"), *sorted(glob("/usr/lib/postgresql/*/bin/postgres"), reverse=True)]
        self.programs = str(Path(next(path for path in found if path)).parent)
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", self.user, "-E", "UTF8", "--no-locale")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        log = f"{self.folder}/log"
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", log, "-o", options, "start")

    def kill(self) -> None:
        """All of its processes at once, so that none can put anything right."""
        named = Path(self.data, "postmaster.pid")
        if not named.exists():
            return
        postmaster = int(named.read_text().split("\n")[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = [postmaster, *map(int, children)]
        for pid in pids:
            with suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, signal.SIGKILL)
        while any(_lives(pid) for pid in pids):
            time.sleep(0.02)
        # Where nobody reaps the dead, the server would take its last one for a living one.
        named.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> None:
        user = self.user if os.geteuid() == 0 else None
        command = [f"{self.programs}/{program}", *arguments]
        done = subprocess.run(command, user=user, cwd=self.folder, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            log = Path(self.folder, "log")
            raise SystemExit(
                f"{program} failed: {log.read_text()[-2000:] if log.exists() else done.returncode}"
            )


def main(cycles: int) -> None:
    """Kill it so many times, and tell what was found."""
    folder = tempfile.mkdtemp(prefix="allowance-crash-")
    cluster = Cluster(folder)
    cluster.start()
    said: list[str] = []
    running = []
    readers = []
    dice = random.Random(5)
    began = time.monotonic()
    try:
        with closing(PostgresStore(cluster.url)) as store:
            store.account(ALICE)
            running = workers(cluster.url, 2, 8, 1_000_000, 20)
            for process in running:
                readers.append(threading.Thread(target=_listen, args=(process, said)))
                readers[-1].start()
            for cycle in range(cycles):
                enough = len(said) + 50
                while len(said) < enough:
                    time.sleep(0.01)
                time.sleep(dice.uniform(0, 1))
                cluster.kill()
                acknowledged = list(said)  # what came before the server was there again
                cluster.start()
                _wait_for(store)
                found = check(store, acknowledged)
                print(f"crash {cycle + 1}: {dict(sorted(found.items()))}, nothing lost, nothing twice")
    finally:
        for process in running:
            process.kill()
        for reader in readers:
            reader.join()
        cluster.kill()
        shutil.rmtree(folder)
    print(f"{cycles} crashes in {time.monotonic() - began:.0f} s")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listen(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stdout is not None
    said.extend(line for line in process.stdout if line.endswith("\n"))
    process.stdout.close()
    process.wait()


def _wait_for(store: PostgresStore) -> None:
    for _ in range(300):
        try:
            store.account(ALICE)
            return
        except StoreUnavailableError:
            time.sleep(0.1)
    raise SystemExit("the server did not come back")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

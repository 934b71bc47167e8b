"""``allowance serve`` as people start it: what it prints, what it refuses, how it ends, and its workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.server.running import PATIENCE, Running, running


def serve(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself, with words."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLOWANCE_")}
    return subprocess.run(
        [sys.executable, "-m", "allowance", "serve", *words],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_it_starts_at_once_and_says_what_to_type_next(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLOWANCE_")}
    for start in ("first", "second"):
        process = subprocess.Popen(
            [sys.executable, "-m", "allowance", "serve", "--port", "0"],
            cwd=tmp_path,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            lines = []
            while not (lines and "ALLOWANCE_STORE=http://127.0.0.1:" in lines[-1]):
                lines.append(process.stdout.readline())
                assert lines[-1], process.communicate()
        finally:
            process.send_signal(signal.SIGINT)
            _, log = process.communicate(timeout=PATIENCE)
        told = "".join(lines)
        keys = re.findall(r"alw_[a-z0-9]{12}_[a-z2-7]{52}_[0-9a-f]{8}", told)
        assert len(keys) == (1 if start == "first" else 0)
        assert "alw_" not in log
        assert f"sqlite:///{tmp_path}/allowance.db" in told
        assert "allowance keys add my-app" in told
    for name in ("allowance.db", "allowance-server.db"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "--behind-proxy"),
        (["--host", "::"], "--tls-cert and --tls-key"),
        (["--tls-cert", "cert.pem"], "two files"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "no.pem is not there"),
        (
            ["--store", "https://budgets.example"],
            "cannot stand on another server, budgets.example (from --store",
        ),
        (["--store", "memory://"], "must outlive it"),
        (["--store", "sqlite:////no/such/place/a.db"], "/no/such/place"),
        (["--store", "postgresql://postgres:hunter2@127.0.0.1:1/none"], "127.0.0.1"),
        (["--workers", "0"], "--workers"),
        (["--rate", "0"], "--rate"),
        (["--port", "70000"], "--port"),
        (["--retention-days", "2"], "8 days"),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, list) else "",
)
def test_what_cannot_be_is_refused_in_words(tmp_path: Path, words: list[str], told: str) -> None:
    if words[-1].startswith("sqlite:////no/") and os.geteuid() == 0:
        (tmp_path / "file").touch()
        words = ["--store", f"sqlite:///{tmp_path}/file/a.db"]
        told = "file"
    done = serve("--port", "0", *words, cwd=tmp_path)
    assert done.returncode in (2, 3), done
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve("--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert not (tmp_path / "allowance.db").exists(), "nothing was made for nothing"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('no', name='fastapi')")
    done = serve(cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "pip install 'allowance[server]'" in done.stderr


def test_workers_share_the_work_their_figures_and_their_end(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/a.db", "--workers", "2", "--log-format", "json") as server:
        key = server.mint("app", ["spend"])
        seen = _workers(server)
        assert len(seen) == 2
        for number in range(20):
            scope = {"key": ["p", "user", "a"], "declared": {"limit": 10**9, "creates": True}}
            body = {"hold_id": f"h{number}", "scopes": [scope], "amount": 5, "ttl": 10**9}
            assert server.ask("/v1/reserve", body, key=key).status == 200
        figures = server.ask("/metrics", key=key).body.decode()
        assert 'allowance_reserves_total{outcome="granted"} 20.0' in figures
        os.kill(min(seen), signal.SIGKILL)
        ends = time.monotonic() + PATIENCE
        while len(_workers(server) - {min(seen)}) < 2:
            assert time.monotonic() < ends, server.log
            time.sleep(0.2)
        assert server.ask("/v1/accounts", {}, key=key).status == 200
        server.stop()
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert {"time", "level", "logger", "message", "process"} <= set(lines[0])
        assert key not in server.log
        assert server.admin_key not in server.log


def _workers(server: Running) -> set[int]:
    """The processes below the server's own."""
    assert server.process is not None
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == server.process.pid and b"spawn_main" in words:
                found.add(int(entry.name))
    return found


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/a.db", "--workers", "2") as server:
        workers = _workers(server)
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        ends = time.monotonic() + PATIENCE
        while any(_runs(worker) for worker in workers):
            assert time.monotonic() < ends
            time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_is_under_way_is_finished_at_the_end(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path}/a.db", "--sweep-seconds", "0") as server:
        key = server.mint("app", ["spend"])
        stop, lost, done = threading.Event(), [], []

        def call(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                scope = {"key": ["p", "user", "a"], "declared": {"limit": 10**9, "creates": True}}
                body = {"hold_id": f"{number}-{count}", "scopes": [scope], "amount": 5, "ttl": 10**9}
                try:
                    done.append(server.ask("/v1/reserve", body, key=key).status)
                except (ConnectionRefusedError, BrokenPipeError):
                    return  # it had gone before this one came, or was sent
                except (OSError, ValueError) as error:
                    lost.append(repr(error))
                    return

        threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        while len(done) < 30 and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        server.stop()
        stop.set()
        for thread in threads:
            thread.join()
        assert set(done) == {200}
        refused = [error for error in lost if "reset" in error.lower()]
        assert lost == refused, "a connection that was waiting to be taken may be reset; no answer is cut off"


def test_over_tls(tmp_path: Path) -> None:
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(private), "-out", str(certificate)),
        ],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("no openssl to make a certificate with")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "allowance", "serve", "--json", "--port", "0"),
            *("--host", "127.0.0.1", "--tls-cert", str(certificate), "--tls-key", str(private)),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline()
        url = json.loads(text)["url"]
        assert url.startswith("https://")
        ends = time.monotonic() + PATIENCE
        while True:  # in a process of its own: no certificate is loaded in this one (see tests/conftest.py)
            words = [sys.executable, "-c", _ASK_OVER_TLS, f"{url}/healthz", str(certificate)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
            if done.returncode == 0 or time.monotonic() > ends:
                break
        assert done.stdout == '{"status":"ok"}', done
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


_ASK_OVER_TLS = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(sys.argv[1], context=context, timeout=20).read().decode(), end="")
"""

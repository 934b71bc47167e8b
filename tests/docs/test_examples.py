"""Every example runs at once, from anywhere, prints what it promises, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
import threading
from http.server import ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import allowance
from tests.provider.clients import openai_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.provider.server import Provider

EXAMPLES = Path(__file__).parents[2] / "examples"

STAND_IN = "Calls go to a stand-in on this machine: no key, no network, no cost."


def run(name: str, home: Path, **environment: str) -> list[str]:
    """The lines that an example prints; it must end well, and say nothing on stderr."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TIKTOKEN_CACHE_DIR") if name in os.environ
    }
    strict = {} if name == "with_litellm.py" else {"PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env={**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **strict, **environment},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if name != "with_litellm.py":  # LiteLLM logs what it likes
        assert done.stderr == ""
    assert list(home.rglob("*.db")) == [], "an example must not write to anybody's store"
    return done.stdout.splitlines()


def test_the_quickstart_caps_a_function_in_three_ways(tmp_path: Path) -> None:
    lines = run("quickstart.py", tmp_path)
    printed = "\n".join(lines)
    assert lines[0] == STAND_IN
    parts = re.split(r"\n\d\. ", printed)[1:]
    assert [part.split(".")[0] for part in parts] == ["The decorator", "The block", "The process"]
    assert [part.count("charged") for part in parts] == [3, 2, 3]
    assert [part.count("refused, and not sent") for part in parts] == [1, 1, 1]
    assert "The budget of user 'alice' does not cover a call to gpt-4o" in printed
    assert "The process's budget does not cover a call to gpt-4o" in printed
    assert re.search(r"resets at\s+\d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d\s+UTC\.", printed)
    assert "bob     spent $0.001025      left $0.000975" in printed
    assert lines[-1] == "   process spent $0.004100"


def test_of_ten_asynchronous_calls_as_many_are_sent_as_fit(tmp_path: Path) -> None:
    lines = run("async_calls.py", tmp_path)
    assert [line.strip() for line in lines if "sent" in line] == [
        "sent 4, refused 6",
        "sent 2, refused 8",
        "sent 1, refused 9",
    ]
    assert sum("settled? yes" in line for line in lines) == 3
    assert lines[-1] == "   spent $0.003588 of $0.004900, and $0.000000 is held"


def test_a_stream_is_charged_when_it_ends_and_when_it_is_left(tmp_path: Path) -> None:
    lines = [line.strip() for line in run("streaming.py", tmp_path)]
    whole = lines.index("47 words, spent $0.000512")
    assert lines[whole - 1] == "settled   $0.000512"
    left = next(line for line in lines if line.startswith("10 words, spent $"))
    assert 0 < float(left.rpartition("$")[2]) < 0.000512
    assert lines[-1].startswith("The budget of user 'alice' does not cover a call to gpt-4o")
    assert sum(line.startswith("reserved") for line in lines) == sum(
        line.startswith("settled") for line in lines
    )


def test_each_user_of_a_web_service_has_a_budget(tmp_path: Path) -> None:
    lines = run("web_request.py", tmp_path)
    assert [line[:8] for line in lines[1:]] == ["ann: 200", "ann: 200", "ann: 402", "ben: 200"]
    assert re.fullmatch(r"ann: 402 Sorry - no budget until \d\d \w+ \d{4}!", lines[3])


def test_fastapi_takes_the_decorator_as_the_example_says(provider: Provider, memory_store: None) -> None:
    fastapi = pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    said = ast.get_docstring(ast.parse((EXAMPLES / "web_request.py").read_text())) or ""
    handler = textwrap.dedent(said[said.index("    @app.post") :])
    body = """
    async with openai_async(provider) as client:
        await client.chat.completions.create(model="gpt-4o", messages=[], max_tokens=5)
    return Response("fine")"""
    names = {
        "app": fastapi.FastAPI(),
        "budgeted": allowance.budgeted,
        "Request": fastapi.Request,
        "Response": fastapi.Response,
        "openai_async": openai_async,
        "provider": provider,
    }
    exec(handler.removesuffix(" ...") + body, names)
    with TestClient(names["app"]) as client:
        assert client.post("/ask", headers={"X-User": "ann"}).text == "fine"
    with allowance.budget("ann") as ann:
        assert str(ann.spent) == "0.000075"
        assert ann.limit == 5


@pytest.fixture
def memory_store() -> Iterator[None]:
    allowance.configure(store="memory://")
    yield
    allowance.configure(store=None)


def test_a_short_budget_refuses_changes_or_is_given_more(tmp_path: Path) -> None:
    lines = [line.strip() for line in run("when_short.py", tmp_path)]
    assert lines[0] == STAND_IN
    starts = [number for number, line in enumerate(lines) if re.match(r"\d\. ", line)]
    parts = [[line for line in lines[at + 1 : to] if line] for at, to in pairwise([*starts, len(lines)])]
    assert parts[0][0].startswith("The budget of user 'alice' does not cover a call to gpt-4o")
    assert parts[1] == ["gpt-4o-mini said 47 tokens, finish_reason='stop'   charged $0.000031"]
    assert parts[2] == ["gpt-4o      said 35 tokens, finish_reason='length' charged $0.000392"]
    assert parts[3] == [
        "dora asks for $0.000245 more",
        "gpt-4o      said 47 tokens, finish_reason='stop'   charged $0.000512",
        "ledger: top-up of $0.002: the boss agreed",
        "ledger: gpt-4o, $0.000512",
    ]
    assert [line.split()[0] for line in parts[4]] == ["gpt-4o-mini"] * 3 + ["nothing"]
    assert "said 43 tokens, finish_reason='length'" in parts[4][2]


def test_processes_that_share_a_file_share_a_budget(tmp_path: Path) -> None:
    # Python 3.12 warns of every fork of a process with threads; the stand-in is one.
    warnings = "error,ignore:This process:DeprecationWarning"
    lines = [line.strip() for line in run("processes.py", tmp_path, PYTHONWARNINGS=warnings)]
    ways = 2 if hasattr(os, "fork") else 1
    assert [line for line in lines if "sent" in line] == ["sent 8, refused 16"] * ways
    spent = [f"{user} spent $0.1000 of $0.1000" for user in ("alice", "ben")]
    assert [line for line in lines if "spent" in line] == spent[:ways]


def test_litellm_is_capped_in_three_ways(tmp_path: Path) -> None:
    pytest.importorskip("litellm")
    lines = [line.strip() for line in run("with_litellm.py", tmp_path)]
    costs = [float(line.removeprefix("cost $")) for line in lines if line.startswith("cost $")]
    assert costs[0] == 0.000498
    assert 0 < costs[1] < 0.001
    assert any(line.startswith("call 1: the process has spent $") for line in lines)
    assert lines[-1].startswith("The process's budget does not cover a call to gpt-4o")


def test_without_litellm_its_example_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "litellm.py").write_text("raise ImportError('No module named litellm')")
    lines = run("with_litellm.py", tmp_path, PYTHONPATH=str(tmp_path))
    assert lines == ["This example needs LiteLLM: pip install litellm"]


@pytest.fixture
def own_endpoint() -> Iterator[tuple[str, list[str | None]]]:
    """An endpoint of the user's own, and the keys that it was called with."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import stand_in
    finally:
        sys.path.remove(str(EXAMPLES))
    keys: list[str | None] = []

    class Handler(stand_in._Handler):
        def do_POST(self) -> None:  # noqa: N802  # http.server names it so
            keys.append(self.headers["Authorization"])
            super().do_POST()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
    server.shutdown()
    server.server_close()
    thread.join()


def test_with_a_key_the_calls_go_to_the_users_own_endpoint(
    tmp_path: Path, own_endpoint: tuple[str, list[str | None]]
) -> None:
    url, keys = own_endpoint
    lines = run("quickstart.py", tmp_path, OPENAI_API_KEY="my-key", OPENAI_BASE_URL=url)
    assert lines[0] == f"Calls go to {url}, with your key."
    assert keys == ["Bearer my-key"] * 8
    assert "my-key" not in "\n".join(lines)


def test_every_example_is_run_here() -> None:
    """A further example needs a test; the two helpers are not examples."""
    source = Path(__file__).read_text()
    helpers = {"endpoint.py", "stand_in.py"}
    for path in EXAMPLES.glob("*.py"):
        assert path.name in helpers or f'run("{path.name}"' in source, f"{path.name} is run by no test"


def test_the_hosted_example_spends_a_dime_from_three_machines_and_loses_nothing(tmp_path: Path) -> None:
    lines = run("hosted.py", tmp_path)
    assert lines[0] == STAND_IN
    printed = "\n".join(lines)
    assert "sent 8, refused 4" in printed
    assert "the answer came; $0.0000 is counted" in printed
    assert re.fullmatch(r" +the server is back: \$0\.0[0-9]{3}", lines[-1])
    assert not lines[-1].endswith("0.0000")

"""Which versions of each SDK are metered: ``python -m tests.sdks.versions [SDK ...]``.

It is not part of the suite: each version gets a virtual environment of its own, with nothing but allowance
in it, and needs a package index; all of them take some ten minutes. The calls are those of
`tests.sdks.version_calls`, over HTTP to the tests' provider. A version passes where every call says the same
inside a block as outside, and costs there, to the nano-dollar, what was billed; one that allowance does not
know must work as ever, and be told as not covered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.provider import Provider

ROOT: Final = Path(__file__).parents[2]

OLD_HTTPX: Final = "httpx<0.28"
"""Versions that hand httpx an argument which it has not taken since."""

TRIED: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "openai": (("1.0.0", OLD_HTTPX), ("1.109.1",), ("2.0.0",), ("3.54.0",)),
    "anthropic": (("0.40.0", OLD_HTTPX), ("0.46.0",), ("0.80.0",), ("2.12.0",)),
    "google-genai": (("1.0.0",), ("1.40.0",), ("3.4.0",)),
    "litellm": (("1.60.0",), ("1.80.0",), ("1.106.2",)),
    "groq": (("0.9.0", OLD_HTTPX), ("1.0.0",), ("1.7.0",)),
    "boto3": (("1.38.0",), ("1.44.5",)),
    "mistralai": (("0.4.2", OLD_HTTPX), ("1.2.6",), ("1.9.1",), ("3.7.0",)),
    "ollama": (("0.3.0", OLD_HTTPX), ("0.4.0", OLD_HTTPX), ("0.6.3",)),
    "cohere": (("4.57",), ("5.15.0",), ("5.21.0",), ("7.3.1",)),
}
"""Each version, and what else it needs to work at all."""

COST: Final = {
    "openai": 10 * 2_500 + 5 * 10_000,
    "anthropic": 10 * 3_000 + 5 * 15_000,
    "google-genai": 10 * 1_250 + 5 * 10_000,
    "litellm": 10 * 2_500 + 5 * 10_000,
    "groq": 10 * 590 + 5 * 790,
    "boto3": 10 * 3_000 + 5 * 15_000,
    "mistralai": 10 * 150 + 5 * 600,
    "ollama": 10 * 1_000 + 5 * 2_000,
    "cohere": 10 * 2_500 + 5 * 10_000,
}
"""Nano-dollars of one call, at the vendors' prices for the 10 and 5 tokens that the provider bills."""


def main() -> None:
    chosen = sys.argv[1:] or list(TRIED)
    failed = False
    for sdk in chosen:
        for version, *needs in TRIED[sdk]:
            with tempfile.TemporaryDirectory() as folder, closing(Provider()) as provider:
                told = tried(Path(folder), sdk, [f"{sdk}=={version}", *needs], provider.url)
            verdict = judged(sdk, told)
            failed |= verdict.startswith("FAILED")
            print(f"{sdk:14}{version:10}{verdict}", flush=True)
    raise SystemExit(failed)


def tried(folder: Path, sdk: str, packages: list[str], url: str) -> dict[str, Any]:
    """What the SDK's calls came to in an environment of these packages."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", *packages, str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if installed.returncode:
        return {"error": installed.stderr.strip().rpartition("\n")[2]}
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "NO_PROXY": "*"}
    ours = {"ALLOWANCE_DOWNLOAD_VOCABULARY": "0", "HOME": str(folder)}
    done = subprocess.run(
        [python, "-W", "ignore", Path(__file__).with_name("version_calls.py"), sdk, url],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **quiet, **ours},
    )  # fmt: skip
    try:
        told: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        return {"error": done.stderr.strip()[-300:]}
    return told


def judged(sdk: str, told: dict[str, Any]) -> str:
    """One line on what came of it."""
    forms: dict[str, dict[str, Any]] = told.get("forms", {})
    harmed = {name: form for name, form in forms.items() if "error" in form or not form.get("same", True)}
    if harmed or "error" in told:
        return f"FAILED: {told.get('error') or harmed}"
    ran = {name: form["nanos"] for name, form in forms.items() if "nanos" in form}
    unable = [f"{name} does not run without allowance either" for name in forms if name not in ran]
    exact = [name for name, nanos in ran.items() if nanos == COST[sdk]]
    if told["covered"] and len(exact) == len(ran) > 0:
        return "; ".join([f"exact: {', '.join(exact)}", *unable])
    if not told["covered"] and not any(ran.values()):
        return "; ".join([f"works, not covered, as allowance says ({told['detail']})", *unable])
    if told["covered"] and not told["tried"] and all(ran.values()):
        return f"counted, but exactly only: {', '.join(exact)}; allowance says that it knows later ones"
    return f"FAILED: covered {told['covered']}, {ran}"


if __name__ == "__main__":
    main()

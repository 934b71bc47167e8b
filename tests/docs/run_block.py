"""What a code block of the README finds when it runs: a real client, and somebody to talk to."""

from __future__ import annotations

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from tests.provider.clients import openai_sync
from tests.provider.server import Provider


def main() -> None:
    provider = Provider()
    client = openai_sync(provider)
    names = {"__name__": "__main__", "client": client, "messages": [{"role": "user", "content": "Hello"}]}
    exec(compile(sys.stdin.read(), "README.md", "exec"), names)
    client.close()
    provider.close()


main()

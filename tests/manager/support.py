"""What the tests of managers share."""

from __future__ import annotations

import threading

__all__ = ["saves_done"]


def saves_done() -> None:
    """Wait for LiteLLM's saves: each update starts a thread for one, and nobody else waits for them."""
    for thread in threading.enumerate():
        if "save_data" in thread.name:
            thread.join()

"""Which functions of which SDK are metered inside a block.

`instrument` patches each SDK at the lowest point that still sees whole requests and typed replies, so that
helpers, raw responses and functions captured earlier are metered too. No SDK is imported for it: one that is
not imported yet is patched when it is.
"""

from __future__ import annotations

from allowance.sdks.registry import Coverage, coverage, instrument, uninstrument

__all__ = ["Coverage", "coverage", "instrument", "uninstrument"]

"""Step 3: a `Request` and its price become a `Quote`: what the call may cost before it is sent."""

from __future__ import annotations

from allowance.quotes.quote import Quote
from allowance.quotes.quoting import Counter, Quoting
from allowance.quotes.vocabularies import Vocabularies

__all__ = ["Counter", "Quote", "Quoting", "Vocabularies"]

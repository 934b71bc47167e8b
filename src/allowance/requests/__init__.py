"""Step 2: the arguments of a call become a `Request`, by their shape; no SDK is imported."""

from __future__ import annotations

from allowance.requests.changing import with_cap, with_model
from allowance.requests.reading import read
from allowance.requests.request import Api, Attachment, Image, Request

__all__ = ["Api", "Attachment", "Image", "Request", "read", "with_cap", "with_model"]

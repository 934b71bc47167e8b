"""A provider on loopback that speaks the vendors' wire formats over real HTTP."""

from tests.provider.script import Call, Reply
from tests.provider.server import Provider

__all__ = ["Call", "Provider", "Reply"]

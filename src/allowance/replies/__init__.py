"""Step 5: a reply or a stream becomes `Usage`, by its shape; no SDK is imported."""

from allowance.replies.bodies import Body
from allowance.replies.identity import inner_reply, reply_id
from allowance.replies.measure import cached_reply, combine, measure, model_of
from allowance.replies.shapes import (
    closings,
    is_manager,
    is_pending,
    is_raw,
    is_stream,
    is_whole,
    member_stream,
)
from allowance.replies.streams import Tally, is_usage_alone, unmark_usage
from allowance.replies.texts import texts_of
from allowance.replies.usage import Usage

__all__ = [
    "Body",
    "Tally",
    "Usage",
    "cached_reply",
    "closings",
    "combine",
    "inner_reply",
    "is_manager",
    "is_pending",
    "is_raw",
    "is_stream",
    "is_usage_alone",
    "is_whole",
    "measure",
    "member_stream",
    "model_of",
    "reply_id",
    "texts_of",
    "unmark_usage",
]

"""boto3 and botocore, for the service ``bedrock-runtime`` alone.

All operations of all services go through one method of botocore's base client, with the parameters that the
user gave. Retries happen below it: they are one call here, as they are one reply.
"""

from __future__ import annotations

import copy
import io
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.points import AttributePoint, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS"]

NOT_METERED = (
    "guardrails, agents, knowledge bases, async invocations and batches (billed apart), sockets, aiobotocore"
)

_OPERATIONS: dict[str, tuple[Api, bool]] = {
    "Converse": ("converse", False),
    "ConverseStream": ("converse", True),
    "InvokeModel": ("invoke", False),
    "InvokeModelWithResponseStream": ("invoke", True),
}
"""The family of arguments, and whether the reply is a stream."""

_COUNTED = ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")
_WRITTEN = "x-amzn-bedrock-cache-write-input-token-count"


def _read(
    function: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SdkCall | None:
    operation = str(args[0] if args else kwargs.get("operation_name"))
    known = _OPERATIONS.get(operation)
    if known is None or _service(client) != "bedrock-runtime":
        return None
    given = args[1] if len(args) > 1 else kwargs.get("api_params")
    if not isinstance(given, dict) or not isinstance(given.get("modelId"), str):
        return None  # botocore refuses it
    api, stream = known
    arguments = {**given, "model": given["modelId"], "stream": stream}
    if api == "invoke":
        arguments["body"] = _parsed(given.get("body"))
    return SdkCall(
        sdk="boto3",
        function=partial(_invoke, function) if operation == "InvokeModel" else function,
        args=args,
        kwargs=kwargs,
        arguments=arguments,
        api=api,
        provider=_provider(client),
        with_cap=partial(_with_cap, operation, given, arguments.get("body")),
        with_model=partial(_with_model, operation, given),
    )


def _service(client: Any) -> str | None:
    return getattr(getattr(getattr(client, "meta", None), "service_model", None), "service_name", None)


def _provider(client: Any) -> str:
    """Bedrock, with the region, by which some models are priced."""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return f"bedrock/{region}" if isinstance(region, str) and region else "bedrock"


def _parsed(body: Any) -> Any:
    """The JSON of a body: text, bytes, or a file, which is put back to where it stood."""
    if hasattr(body, "read") and hasattr(body, "seek"):
        start = body.tell()
        content = body.read()
        body.seek(start)
        body = content
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return None


def _with_cap(
    operation: str, given: Mapping[str, Any], body: Any, cap: int, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not operation.startswith("Invoke"):
        return (operation, _set(given, name, cap)), {}
    return (operation, {**given, "body": json.dumps(_set(body, name, cap)).encode()}), {}


def _with_model(
    operation: str, before: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any], model: str
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if operation.startswith("Invoke") and _vendor(before["modelId"]) != _vendor(model):
        return None  # the body is written in the words of one vendor's models
    given = args[1] if len(args) > 1 else kwargs["api_params"]
    return (operation, {**given, "modelId": model}), {}


def _vendor(model: str) -> str:
    """Whose model it is: what stands before its own name (``us.anthropic.claude-...``)."""
    name, _, _version = model.rpartition("/")[2].rpartition("-")  # there may be dots in the version too
    return name.split(".")[-2:][0]


def _set(holder: Any, path: str, value: int) -> dict[str, Any]:
    """A copy with the value at a path such as ``inferenceConfig.maxTokens``."""
    first, _, rest = path.partition(".")
    changed = dict(copy.copy(holder) or {})
    changed[first] = _set(changed.get(first), rest, value) if rest else value
    return changed


def _invoke(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """InvokeModel. Where the headers do not say all, the body is read here, and put back for the user."""
    reply = function(*args, **kwargs)
    headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if any(name in headers for name in _COUNTED) and headers.get(_WRITTEN, "0") == "0":
        return reply
    body = reply.get("body")
    if hasattr(body, "read"):
        content = body.read()
        reply["body"] = type(body)(io.BytesIO(content), len(content))
    return reply


POINTS: tuple[Point, ...] = (
    AttributePoint("botocore.client", "BaseClient._make_api_call", partial(metered, read=_read)),
)

"""Which provider answers at a host, in the catalogue's words."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["provider_at"]

_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "api.groq.com": "groq",
    "api.x.ai": "xai",
    "api.deepseek.com": "deepseek",
    "openrouter.ai": "openrouter",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.fireworks.ai": "fireworks_ai",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "api.deepinfra.com": "deepinfra",
    "api.novita.ai": "novita",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "api.minimax.io": "minimax",
    "api.z.ai": "zai",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "ai-gateway.vercel.sh": "vercel_ai_gateway",
    "aihubmix.com": "aihubmix",
    "api.avian.io": "avian",
    "api.friendli.ai": "friendliai",
    "api.gmi-serving.com": "gmi",
    "api.inceptionlabs.ai": "inception",
    "api.inference.wandb.ai": "wandb",
    "api.lambda.ai": "lambda_ai",
    "api.libertai.io": "libertai",
    "api.llamagate.dev": "llamagate",
    "api.morphllm.com": "morph",
    "api.publicai.co": "publicai",
    "api.sarvam.ai": "sarvam",
    "api.scaleway.ai": "scaleway",
    "api.v0.dev": "v0",
    "api.xiaomimimo.com": "xiaomi_mimo",
    "inference.api.nscale.com": "nscale",
    "inference.baseten.co": "baseten",
    "managed-inference-api-proxy.crusoecloud.com": "crusoe",
    "serverless.tensormesh.ai": "tensormesh",
}
"""Hosts, each with all hosts under it (``eu.api.openai.com``)."""

_DOMAINS = {
    "openai.azure.com": "azure",
    "cognitiveservices.azure.com": "azure",
    "services.ai.azure.com": "azure_ai",
    "models.ai.azure.com": "azure_ai",
    "aiplatform.googleapis.com": "vertex_ai",
    "tokenfactory.nebius.com": "nebius",
    "studio.nebius.ai": "nebius",
    "studio.nebius.com": "nebius",
    "cloud.databricks.com": "databricks",
    "azuredatabricks.net": "databricks",
}
"""Domains under which each customer or region has a host of its own."""


@lru_cache(maxsize=256)
def provider_at(host: str) -> str | None:
    """The provider that answers at this host; None for one that nobody knows, such as a local server.

    The host of a call tells more than its SDK: half of all providers are called through the openai SDK.
    What a local server or a gateway serves is then told by the model's name alone.
    """
    host = host.lower().rstrip(".")
    if host.endswith("-aiplatform.googleapis.com"):
        return "vertex_ai"
    if host.startswith("bedrock") and host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        return f"bedrock/{host.split('.')[1]}"  # some models are priced by the region
    labels = host.split(".")
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        provider = _HOSTS.get(name) or _DOMAINS.get(name)
        if provider is not None:
            return provider
    return None

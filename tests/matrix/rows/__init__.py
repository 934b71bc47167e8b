"""The tables of the matrix: one file an SDK. To add a call, add a row."""

from tests.matrix.rows import (
    anthropic,
    boto3,
    cohere,
    google_genai,
    groq,
    litellm,
    mistralai,
    ollama,
    openai,
)

__all__ = ["SDKS"]

SDKS = (
    openai.SDK,
    anthropic.SDK,
    google_genai.SDK,
    litellm.SDK,
    mistralai.SDK,
    cohere.SDK,
    groq.SDK,
    ollama.SDK,
    boto3.SDK,
)

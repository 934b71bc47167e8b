"""boto3's bedrock-runtime: a conversation, its stream, a model's own body."""

import json

import boto3

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
client = boto3.client("bedrock-runtime", region_name="us-east-1")
asked = {
    "modelId": MODEL,
    "messages": [{"role": "user", "content": [{"text": "Describe a program."}]}],
    "inferenceConfig": {"maxTokens": 512, "temperature": 0.5},
}

print(client.converse(**asked)["output"]["message"]["content"][0]["text"])
for event in client.converse_stream(**asked)["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"]["text"], end="")
print()

body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 512}
body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "Describe it."}]}]
answer = client.invoke_model(modelId=MODEL, body=json.dumps(body))
print(json.loads(answer["body"].read())["content"][0]["text"])
client.close()

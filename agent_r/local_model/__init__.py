"""The embedded actor: a small Llama served from this machine behind the OpenAI protocol."""

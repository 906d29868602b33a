"""Back ends on machines that are not ours: a provider in OpenAI's protocol, Hugging Face Jobs."""

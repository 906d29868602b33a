"""The Hugging Face Hub: publish a version, and fetch one."""

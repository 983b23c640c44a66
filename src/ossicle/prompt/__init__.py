"""Messages to token ids, through the LLM's own chat template."""

"""Bridges: an encoder's frames become the audio tokens that a language model reads."""

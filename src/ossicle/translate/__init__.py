"""Translation: speech or text in one language becomes text, units and speech in another."""

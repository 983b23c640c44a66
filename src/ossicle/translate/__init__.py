"""The composed translators: speech or text in, text and speech out."""

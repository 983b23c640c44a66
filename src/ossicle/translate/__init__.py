"""Speech and text to speech and text."""

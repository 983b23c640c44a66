"""Sound and time: bytes to clips and back, features, windows, and every length rule; numpy, no torch."""

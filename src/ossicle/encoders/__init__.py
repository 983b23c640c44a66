"""Encoders: waveform features to frames. One architecture a file, each a thin adapter over `transformers`."""

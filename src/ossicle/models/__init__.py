"""The composed models."""

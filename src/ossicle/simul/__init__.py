"""Simultaneous translation: when to read and when to write."""

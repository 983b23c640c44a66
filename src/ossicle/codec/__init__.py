"""Sound as symbols: frames to units."""

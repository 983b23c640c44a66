"""A synthetic world: speech, sounds and music from a seed, in memory, with exact ground truth for everything heard."""

"""Training: a recipe of stages, objectives, one loop, checkpoints that survive a kill."""

"""Silver to gold: what models and people read."""

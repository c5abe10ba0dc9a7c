"""The model's geometry, its checkpoints, and one deployment of it."""

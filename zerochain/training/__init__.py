"""The one training loop, its checkpoints, its device and its seeds."""

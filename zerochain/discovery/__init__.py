"""Stage 2: unit models, each with `fit`, `encode`, `save` and `load`."""

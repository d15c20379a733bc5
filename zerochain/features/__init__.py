"""Stage 1: features of recordings, and their normalisation."""

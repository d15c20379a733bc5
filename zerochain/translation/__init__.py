"""Stage 4: from the speech of one language to the units of another."""

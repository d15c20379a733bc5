"""Stage 0: other people's recordings become a corpus; changed, paired and synthetic corpora."""

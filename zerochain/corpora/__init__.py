"""Stage 0: other people's recordings and alignments, and the corpus that we synthesise."""

"""From files to scores: what `zerochain score` does, as functions."""

"""Scores: pure functions of what they score."""

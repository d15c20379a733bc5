"""Submissions to the ZeroSpeech challenges: how they are laid out, and what breaks their rules."""

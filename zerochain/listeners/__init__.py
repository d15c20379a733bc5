"""Trained judges of speech: a recogniser of characters and a speaker encoder."""

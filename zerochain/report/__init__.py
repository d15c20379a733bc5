"""Scores from files, published numbers beside them, and the page that shows both."""

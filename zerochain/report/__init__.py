"""Scores as tables, published results, and the report of a run as an HTML page."""

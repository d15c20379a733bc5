"""Networks without input or output of files."""

"""The networks of all methods: torch modules that read and write no files."""

"""The files between the stages: read and written here and nowhere else, without torch."""

"""The files between the stages: each kind is read and written in one module, without torch."""

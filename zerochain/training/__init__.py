"""Training: one loop and one service for every network.

A method's file declares a task, which defines one step (`task.py`), and a `RECIPE` (`recipe.py`),
and calls `run.fit`. The loop (`loop.py`) does the steps, validates and writes checkpoints;
`state.py` holds what changes during training, `origin.py` decides whether training may continue
from a checkpoint, `log.py` shows progress, and `outcome.py` is the record kept in the bundle.
"""

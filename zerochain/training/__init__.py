"""Training: one loop and one service for every network.

A method's file declares a task, what one step is (`task.py`), and a `RECIPE` (`config.py`), and
calls `run.fit`. The loop (`loop.py`) does steps, validates and writes checkpoints; `state.py` is
what changes meanwhile, `origin.py` decides whether a checkpoint may be gone on from, `log.py`
shows progress, and `outcome.py` is what a bundle records of it all.
"""

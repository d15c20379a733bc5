"""Stage 2: unit models, which encode speech as discrete units.

`model.py` is what all have in common; a method is one file: `kmeans.py`, `mixtures.py`, and of
those with a trained encoder (`neural.py`) `vqvae.py`, `cpc.py` and `self_training.py`. Its config
and its `RECIPE` are the options of its command. `stage.py` goes from files to files.
"""

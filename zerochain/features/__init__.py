"""Stage 1: features of recordings.

`extraction.py` writes those of a corpus: MFCC and log-mel (`spectral.py`), F0 (`f0.py`), layers of
self-supervised models (`ssl.py`). What unit models do with them: `normalisation.py`, `vtln.py`,
`projection.py` (context, speaker attenuation) and, in training, `augmentation.py`.
"""

"""The best path through F0 candidates, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.kernels import compiled

Floats = NDArray[np.float32]


@compiled()
def best_path(
    pitch: Floats, strength: Floats, unvoiced: Floats, jump_cost: float, switch_cost: float
) -> Floats:
    """F0 along the path of the largest summed strength less transition costs, by Viterbi.

    Args:
        pitch: log2 Hz of each frame's candidates (T, N).
        strength: of each candidate (T, N); -inf where there is none.
        unvoiced: strength of being unvoiced (T,).
        jump_cost: for each octave between voiced frames.
        switch_cost: for each change of voicing.

    Returns:
        log2 Hz (T,), NaN where unvoiced.
    """
    n_frames, n = pitch.shape
    came_from = np.empty((n_frames, n + 1), np.uint8)
    score = np.empty(n + 1)  # the last state is unvoiced
    new = np.empty(n + 1)
    score[:n] = strength[0]
    score[n] = unvoiced[0]
    for t in range(1, n_frames):
        for to in range(n + 1):
            best = score[n] - (switch_cost if to < n else 0.0)
            came_from[t, to] = n
            for start in range(n):
                cost = (
                    switch_cost if to == n else jump_cost * abs(pitch[t, to] - pitch[t - 1, start])
                )
                if score[start] - cost > best:
                    best = score[start] - cost
                    came_from[t, to] = start
            new[to] = best + (unvoiced[t] if to == n else strength[t, to])
        score, new = new, score
    path = np.empty(n_frames, np.float32)
    state = int(np.argmax(score))
    for t in range(n_frames - 1, -1, -1):
        path[t] = np.nan if state == n else pitch[t, state]
        state = int(came_from[t, state])
    return path

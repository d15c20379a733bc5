"""fMLLR: the affine transform of a speaker's frames under which a mixture explains them best.

Feature-space maximum-likelihood linear regression, or constrained MLLR (Gales, "Maximum likelihood
linear transformations for HMM-based speech recognition", 1998): y = A x + b maximises the mean of
log p(A x + b) + log |det A| under a mixture of diagonal Gaussians, the target. No transcripts are
needed: frames are assigned by the posteriors of the target. EM collects `Sums` of the frames, and
`maximised` finds the transform, row by row.

Two things differ from the paper. Beside the speaker's frames stand some that the target itself
would give (`Target.prior`), for which the identity is best: with less and less speech the transform
becomes the identity, and no matrix is singular. And where there is little speech A is diagonal: a
bias and a scale for each dimension. Transforms are (D, D + 1) matrices [A b].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.kernels import compiled

Frames = NDArray[np.float32]
Doubles = NDArray[np.float64]
_CHUNK = 512  # frames: their products stay in the cache
_LOWEST = -80.0  # logarithms below it make denormal numbers: slow, and of no effect
_SWEEPS = 10  # over the rows of A; each changes what the next is relative to
_compiled = compiled(error_model="numpy", fastmath=set())


@dataclass(frozen=True)
class Sums:
    """What frames leave for their transform, in the target's standardised space. They add."""

    count: float
    """Frames."""
    quadratic: Doubles
    """(D, D + 1, D + 1), Gales's G: Σ posterior / variance · [x 1]ᵀ[x 1] for each row of A."""
    linear: Doubles
    """(D, D + 1), Gales's k: Σ posterior · mean / variance · [x 1]."""
    log_likelihood: float = 0.0
    """Of all frames, with log |det A| of the transform by which they were assigned, in nats."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.count + other.count,
            self.quadratic + other.quadratic,
            self.linear + other.linear,
            self.log_likelihood + other.log_likelihood,
        )

    def gain(self, transform: Doubles) -> float:
        """What the M-step raises, in nats, but for a constant."""
        _, log_det = np.linalg.slogdet(transform[:, :-1])
        fit = np.einsum("di,dij,dj->", transform, self.quadratic, transform)
        return float(self.count * log_det - 0.5 * fit + (transform * self.linear).sum())


@dataclass(frozen=True)
class Target:
    """A mixture of K diagonal Gaussians that frames are transformed towards.

    log(weight · density) is constant − ½ Σ (x − mean)² / variance.
    """

    constants: Frames
    """(K,)"""
    means: Frames
    """(K, D)"""
    variances: Frames
    """(K, D)"""

    @property
    def dim(self) -> int:
        return int(self.means.shape[1])

    @cached_property
    def weights(self) -> Doubles:
        """(K,), of sum 1."""
        logs = self.constants + 0.5 * np.log(2 * np.pi * self.variances.astype(float)).sum(axis=1)
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    @cached_property
    def _scale(self) -> tuple[Doubles, Doubles]:
        """Mean and deviation of its frames: standardised, x² loses no digits in float32."""
        means, variances = self.means.astype(float), self.variances.astype(float)
        mean = self.weights @ means
        return mean, np.sqrt(self.weights @ (variances + np.square(means - mean)))

    @cached_property
    def _standardised(self) -> tuple[Doubles, Doubles]:
        """Means and precisions of the components there."""
        mean, deviation = self._scale
        return (self.means - mean) / deviation, np.square(deviation) / self.variances

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor]:
        """What [1, y, y²] is multiplied by, (1 + 2 D, K), and posteriors by, (K, 2 D)."""
        means, precisions = self._standardised
        constants = self.constants - 0.5 * (np.square(means) * precisions).sum(axis=1)
        densities = np.concatenate([constants[None], (means * precisions).T, -0.5 * precisions.T])
        moments = np.concatenate([precisions, means * precisions], axis=1)
        return (
            torch.from_numpy(densities.astype(np.float32)),
            torch.from_numpy(moments.astype(np.float32)),
        )

    @cached_property
    def _pairs(self) -> Tensor:
        """Rows and columns of the upper triangle of a (D + 1, D + 1) matrix, (2, P)."""
        return torch.triu_indices(self.dim + 1, self.dim + 1)

    def posteriors(self, frames: Frames) -> Frames:
        """Of the components at every frame (N, D): (N, K)."""
        z = torch.from_numpy(self._inside(frames))
        parts = [self._posteriors(z[i : i + _CHUNK])[0] for i in range(0, len(z), _CHUNK)]
        return torch.cat(parts).numpy()

    def _inside(self, frames: Frames) -> Frames:
        mean, deviation = self._scale
        return np.asarray((frames - mean) / deviation, np.float32)

    def _posteriors(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Posteriors (n, K) and log-likelihoods (n,) of standardised frames (n, D)."""
        logs = torch.cat([y.new_ones(len(y), 1), y, y.square()], dim=1) @ self._tensors[0]
        highest = logs.amax(dim=1, keepdim=True)
        shares = logs.sub_(highest).clamp_(min=_LOWEST).softmax(dim=1)
        return shares, highest.flatten() - shares.amax(dim=1).log()

    def sums(self, frames: Frames, transform: Doubles) -> Sums:
        """The E-step: sums of frames (N, D), assigned after a transform of `inside`'s kind."""
        z = torch.from_numpy(self._inside(frames))
        matrix = torch.from_numpy(transform.astype(np.float32))
        rows, columns = self._pairs
        dim = self.dim
        packed = torch.zeros(dim, len(rows), dtype=torch.float64)
        linear = torch.zeros(dim, dim + 1, dtype=torch.float64)
        likelihood = 0.0
        for i in range(0, len(z), _CHUNK):
            part = z[i : i + _CHUNK]
            shares, likelihoods = self._posteriors(part @ matrix[:, :-1].T + matrix[:, -1])
            likelihood += float(likelihoods.double().sum())
            moments = shares @ self._tensors[1]
            precisions, weighted = moments[:, :dim], moments[:, dim:]
            extended = torch.cat([part.T, part.new_ones(1, len(part))])
            packed += precisions.T @ (extended[rows] * extended[columns]).T
            linear += weighted.T @ extended.T
        quadratic = torch.zeros(dim, dim + 1, dim + 1, dtype=torch.float64)
        quadratic[:, rows, columns] = packed
        quadratic[:, columns, rows] = packed
        _, log_det = np.linalg.slogdet(transform[:, :-1])
        total = likelihood + len(frames) * float(log_det)
        return Sums(len(frames), quadratic.numpy(), linear.numpy(), total)

    def prior(self, n_frames: float) -> Sums:
        """Sums that so many frames of the target itself would leave on average."""
        means, precisions = self._standardised
        extended = np.concatenate([means, np.ones((len(means), 1))], axis=1)
        weighted = self.weights[:, None] * precisions
        quadratic = np.einsum("kd,ki,kj->dij", weighted, extended, extended, optimize=True)
        within = np.einsum("kd,ke->de", weighted, 1 / precisions)
        dims = np.arange(self.dim)
        quadratic[:, dims, dims] += within
        linear = (weighted * means).T @ extended
        return Sums(n_frames, n_frames * quadratic, n_frames * linear)

    def outside(self, transform: Doubles) -> Doubles:
        """A transform of standardised frames as one of the frames themselves."""
        mean, deviation = self._scale
        matrix = deviation[:, None] * transform[:, :-1] / deviation
        bias = mean + deviation * transform[:, -1] - matrix @ mean
        return np.concatenate([matrix, bias[:, None]], axis=1)


def identity(dim: int) -> Doubles:
    """The transform that changes nothing."""
    return np.eye(dim, dim + 1)


@dataclass(frozen=True)
class Estimate:
    """A transform, and what it rests on."""

    transform: Doubles
    """(D, D + 1)"""
    is_full: bool
    """Whether A is full, or diagonal."""
    log_likelihoods: tuple[float, ...]
    """Of a frame, the mean, before each round, in nats."""


def estimated(
    frames: Frames, target: Target, *, full_frames: int, prior_frames: float, rounds: int = 3
) -> Estimate:
    """The transform of one speaker's frames (N, D).

    Args:
        full_frames: with fewer, A is diagonal.
        prior_frames: frames of the target itself that are added.
        rounds: of EM. The first is of a bias and a scale in any case.
    """
    is_full = len(frames) >= full_frames
    prior = target.prior(prior_frames)
    transform, likelihoods = identity(target.dim), []
    for i in range(rounds):
        sums = target.sums(frames, transform)
        likelihoods.append(sums.log_likelihood / len(frames))
        transform = maximised(sums + prior, transform, full=is_full and i > 0)
    return Estimate(target.outside(transform), is_full, tuple(likelihoods))


def maximised(sums: Sums, start: Doubles, *, full: bool) -> Doubles:
    """The M-step: the transform that raises `sums.gain` from where it starts, (D, D + 1).

    Each row is the exact maximum given the others (Gales 1998, equations 28–33 and appendix B), so
    that no sweep lowers the likelihood; a diagonal A is found in one.
    """
    dim = len(start)
    if full:
        inverses = _inverse(sums.quadratic)
        transform = np.array(start)
        columns = np.ascontiguousarray(np.linalg.inv(transform[:, :-1]).T)
        _sweep(sums.count, inverses, sums.linear, transform, columns, _SWEEPS)
    else:
        transform = np.zeros_like(start)
        for d in range(dim):
            pair = np.array([d, dim])
            inverses = _inverse(sums.quadratic[d][np.ix_(pair, pair)])[None]
            row = np.array([[1.0, 0.0]])
            linear = np.ascontiguousarray(sums.linear[d : d + 1, pair])
            _sweep(sums.count, inverses, linear, row, np.ones((1, 1)), 1)
            transform[d, pair] = row[0]
    return transform


def _inverse(matrices: Doubles) -> Doubles:
    return np.asarray(np.linalg.inv(matrices), np.float64)


def maximised_square(count: float, quadratic: Doubles, start: Doubles) -> Doubles:
    """The matrix (D, D) that raises count · log |det A| − ½ Σ a G aᵀ over its rows a.

    Args:
        quadratic: G of each row, (D, D, D).
        start: A to start from, (D, D).
    """
    matrix, columns = np.array(start), np.ascontiguousarray(np.linalg.inv(start).T)
    _sweep(count, _inverse(quadratic), np.zeros_like(matrix), matrix, columns, _SWEEPS)
    return matrix


@_compiled
def _times(matrix: Doubles, vector: Doubles, out: Doubles) -> None:
    """out (m,) = the first n columns of a matrix · vector (n,)."""
    for i in range(len(out)):
        total = 0.0
        for j in range(len(vector)):
            total += matrix[i, j] * vector[j]
        out[i] = total


@_compiled
def _sweep(
    count: float,
    inverses: Doubles,
    linear: Doubles,
    transform: Doubles,
    columns: Doubles,
    n_sweeps: int,
) -> None:
    """Replace each row of a transform by the best one, given the others, in place.

    With the column c of A⁻¹ a row w has det A' = det A · (w · [c 0]), so it maximises
    count · log(w · [c 0]) − ½ w G wᵀ + w · k, which gives w = (α [c 0] + k) G⁻¹ with
    α² [c 0] G⁻¹ [c 0]ᵀ + α [c 0] G⁻¹ k = count. The positive α keeps the sign of det A.

    Args:
        inverses: G⁻¹, (D, E, E); E is D + 1, or D where there is no bias.
        linear: k, (D, E).
        transform: (D, E).
        columns: of A⁻¹, the rows of (D, D), which are kept up to date.
    """
    dim, width = transform.shape
    new, direction = np.empty(width), np.empty(width)
    moved, spare = np.empty(dim), np.empty(dim)
    for _ in range(n_sweeps):
        for d in range(dim):
            _times(inverses[d], columns[d], direction)
            _times(inverses[d], linear[d], new)
            first = second = 0.0
            for i in range(dim):
                first += direction[i] * columns[d, i]
            for i in range(width):
                second += direction[i] * linear[d, i]
            root = np.sqrt(second * second + 4 * first * count)
            # Of the two ways to write the root the one that doesn't cancel.
            alpha = 2 * count / (second + root) if second > 0 else (root - second) / (2 * first)
            for i in range(width):
                new[i] += alpha * direction[i]
            # Sherman and Morrison's inverse of A with one row replaced.
            _times(columns, new[:dim] - transform[d, :dim], moved)
            scale = 1 / (1 + moved[d])
            for i in range(dim):
                spare[i] = columns[d, i] * scale
            for j in range(dim):
                for i in range(dim):
                    columns[j, i] -= moved[j] * spare[i]
            for i in range(width):
                transform[d, i] = new[i]

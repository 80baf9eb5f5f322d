"""Exact bootstrap replicates of the Frechet distance through small symmetric eigenproblems.

A replicate gives each row a weight. Only rows drawn at least once enter, about 0.63 n of them, and one
cross-Gram matrix serves all replicates; where a side has more rows than features, a Cholesky factor of
its covariance does. Means and traces of all replicates come from two matrix products.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float64
from scipy.linalg import cholesky, lapack
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evaluation.single_thread import on_one_thread

Draws = Float64[np.ndarray, " n"]
OtherDraws = Float64[np.ndarray, " m"]
DISTINCT = 0.632  # share of rows that a bootstrap sample draws at least once, 1 - 1/e
TORCH_IS_FASTER = 1500  # rows from which torch's eigenvalues cost less than numpy's, measured on one core


@on_one_thread
def frechet_replicates(
    real: Float64[np.ndarray, "n d"],
    generated: Float64[np.ndarray, "m d"],
    real_draws: Float64[np.ndarray, "b n"],
    generated_draws: Float64[np.ndarray, "b m"],
) -> Float64[np.ndarray, " b"]:
    """Return the distance of each replicate, given how often it draws each row."""
    x, y = real - real.mean(0), generated - real.mean(0)  # one common origin keeps the products small
    x_mean, x_trace = _moments(x, real_draws)
    y_mean, y_trace = _moments(y, generated_draws)
    root = _in_samples(x, y) if min(len(x), len(y)) * DISTINCT <= x.shape[1] else _in_features(x, y)
    with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        roots = np.array(list(pool.map(root, real_draws, generated_draws)))
    return np.asarray(((x_mean - y_mean) ** 2).sum(1) + x_trace + y_trace - 2 * roots)


def _moments(
    rows: Float64[np.ndarray, "n d"], draws: Float64[np.ndarray, "b n"]
) -> tuple[Float64[np.ndarray, "b d"], Float64[np.ndarray, " b"]]:
    drawn = draws.sum(1)
    means = (draws @ rows) / drawn[:, None]
    return means, (draws @ (rows**2).sum(1) - drawn * (means**2).sum(1)) / (drawn - 1)


def _in_samples(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Callable[[Draws, OtherDraws], float]:
    """Prepare Tr sqrt(S1 S2) as the nuclear norm of the weighted, centered cross-Gram matrix."""
    gram = x @ y.T

    def root(x_draws: Draws, y_draws: OtherDraws) -> float:
        i, j = np.flatnonzero(x_draws), np.flatnonzero(y_draws)
        p, q = np.sqrt(x_draws[i]), np.sqrt(y_draws[j])
        cross = gram[np.ix_(i, j)] * p[:, None] * q[None, :]
        p, q = p / np.sqrt(x_draws.sum()), q / np.sqrt(y_draws.sum())
        cross -= np.outer(p, p @ cross)
        cross -= np.outer(cross @ q, q)
        square = cross @ cross.T if len(i) <= len(j) else cross.T @ cross
        eigenvalues = _eigenvalues(square)[1:]  # centering makes one eigenvalue an exact zero
        return _sum_of_roots(eigenvalues) / float(np.sqrt((x_draws.sum() - 1) * (y_draws.sum() - 1)))

    return root


def _in_features(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Callable[[Draws, OtherDraws], float]:
    """Prepare Tr sqrt(S1 S2) through the eigenvalues of L' S2 L, where S1 = L L'."""

    def root(x_draws: Draws, y_draws: OtherDraws) -> float:
        first, second = _scatter(x, x_draws), _scatter(y, y_draws)
        try:
            lower = cholesky(first, lower=True, check_finite=False)
            middle, _ = lapack.dsygst(second, lower, itype=2, lower=1)  # L' S2 L, lower triangle only
        except np.linalg.LinAlgError:  # a replicate whose rows do not span the features
            values, vectors = np.linalg.eigh(first)
            factor = vectors * np.sqrt(np.clip(values, 0, None))
            middle = factor.T @ second @ factor
        eigenvalues = _eigenvalues(middle)
        return _sum_of_roots(eigenvalues) / float(np.sqrt((x_draws.sum() - 1) * (y_draws.sum() - 1)))

    return root


def _scatter(rows: Float64[np.ndarray, "n d"], draws: Draws) -> Float64[np.ndarray, "d d"]:
    i = np.flatnonzero(draws)
    weighted = rows[i] * np.sqrt(draws[i])[:, None]
    total = draws[i] @ rows[i]
    return np.asarray(weighted.T @ weighted - np.outer(total, total) / draws.sum())


def _eigenvalues(lower: Float64[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Return the eigenvalues of a symmetric matrix from its lower triangle, by the faster library at its size."""
    if len(lower) < TORCH_IS_FASTER:
        return np.linalg.eigvalsh(lower)
    return np.asarray(torch.linalg.eigvalsh(torch.from_numpy(lower)).numpy())


def _sum_of_roots(eigenvalues: Float64[np.ndarray, " k"]) -> float:
    """Sum the square roots of the eigenvalues that rise above rounding."""
    if len(eigenvalues) == 0:
        return 0.0
    floor = eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps
    return float(np.sqrt(eigenvalues[eigenvalues > floor]).sum())

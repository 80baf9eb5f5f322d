"""Leverages of rows on the spectrum of a product of covariances, with the row's whole patient left out.

A row inside the sample pulls the sample's own spectrum towards itself; left out, it does not. For
the block H of one patient's rows in `U diag(y l / (1 + y l)) U'`, leaving the patient out gives
`H (I - H)^-1` (Woodbury). With one row per patient it is `h / (1 - h)`.
"""

import numpy as np
from jaxtyping import Float64, Int64

NEAR_ONE = 1e-9


def left_out_leverages(
    basis: Float64[np.ndarray, "n r"], weights: Float64[np.ndarray, "k r"], index: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, "k n"]:
    """Return each row's leverage with its patient left out, for each of k weightings of the spectrum.

    Args:
        basis: singular vectors of the centered rows' side.
        weights: `y l / (1 + y l)` for each y (rows) and each eigenvalue (columns), in [0, 1).
        index: the number of each row's patient.
    """
    sizes = np.bincount(index)
    if sizes.max() == 1:
        inside = weights @ (basis**2).T
        return np.asarray(inside / np.clip(1 - 1 / len(basis) - inside, NEAR_ONE, None))
    found = np.empty((len(weights), len(basis)))
    order = np.split(np.argsort(index, kind="stable"), np.cumsum(sizes)[:-1])
    for rows in order:
        found[:, rows] = _patient(basis[rows], weights, len(basis))
    return found


def _patient(
    basis: Float64[np.ndarray, "m r"], weights: Float64[np.ndarray, "k r"], n: int
) -> Float64[np.ndarray, "k m"]:
    """Return the diagonal of `H (I - J/n - H)^-1`; J is all ones, the direction of the estimated mean."""
    m = len(basis)
    products = (basis[:, None, :] * basis[None, :, :]).reshape(m * m, -1)
    blocks = (weights @ products.T).reshape(-1, m, m)
    values, vectors = np.linalg.eigh(np.eye(m) - 1 / n - blocks)
    inverse = (vectors / np.clip(values, NEAR_ONE, None)[:, None, :]) @ vectors.swapaxes(1, 2)
    return np.asarray(np.einsum("kij,kji->ki", blocks, inverse))

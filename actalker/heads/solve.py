"""The solver of a fit: pose, identity and expression of a head from points in a picture.

Levenberg-Marquardt with Gaussian priors and with bounds on the coefficients. Letters: l landmarks, m identity
modes, k coefficients, u unknowns (6 of the pose, m, the free coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .camera import FLIP, Camera, to_camera, turn

NOISE = 0.015  # of the eyes' distance: a landmark's error, shared by its neighbours
DEVIATION = 0.25  # of a coefficient, about what is expected of it
MOST = 3.0  # standard deviations of an identity mode
STEPS = 12
ENOUGH = 1e-4  # of the cost: a step that gains less is the last


@dataclass(frozen=True, eq=False)
class Basis:
    """The head model at l landmarks.

    neutral (l, 3), identities (m, l, 3), shapes (k, l, 3): as in `HeadModel`. weights (l,): how much each
    landmark counts. free (k,) bool: coefficients that are fitted; the others stay as expected.
    """

    neutral: np.ndarray
    identities: np.ndarray
    shapes: np.ndarray
    weights: np.ndarray
    free: np.ndarray

    def at(self, identity: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The landmarks (l, 3), head space, of an identity (up to m,) and coefficients (k,)."""
        moved = np.tensordot(identity, self.identities[: len(identity)], 1)
        return self.neutral + moved + np.tensordot(coefficients, self.shapes, 1)


@dataclass(frozen=True, eq=False)
class Solution:
    """A head: R (3, 3) and T (3,) to camera space, identity (m,) in standard deviations, coefficients (k,).

    All are float64; free coefficients lie in [0, 1].
    """

    R: np.ndarray
    T: np.ndarray
    identity: np.ndarray
    coefficients: np.ndarray


def start(basis: Basis, points: np.ndarray, camera: Camera, coefficients: np.ndarray) -> Solution:
    """A solution to start from, with the pose of the best scaled orthographic camera.

    points: (l, 2), pixels. coefficients: (k,), taken as they are. Source: POS, DeMenthon & Davis 1995.
    """
    identity = np.zeros(len(basis.identities))
    h = basis.at(identity, coefficients)
    weight = np.sqrt(basis.weights)[:, None]
    known = np.concatenate([h, np.ones((len(h), 1))], 1)
    A = np.linalg.lstsq(known * weight, points * weight, rcond=None)[0].T  # (2, 4)
    left, size, right = np.linalg.svd(A[:, :3], full_matrices=False)
    rows = left @ right
    z = camera.focal / size.mean()
    looking = np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])])
    T = np.array([(A[0, 3] - camera.cx) * z / camera.focal, (A[1, 3] - camera.cy) * z / camera.focal, z])
    return Solution(FLIP @ looking, T, identity, coefficients)


_State = tuple[float, np.ndarray, np.ndarray]  # cost, points in camera space, weighted residual (l, 2)


@dataclass(frozen=True, eq=False)
class Problem:
    """The fit of a head to points (l, 2), pixels.

    unit: the eyes' distance, pixels. expected: coefficients (k,), the mean of the prior; those that are not
    free keep it. identity_fixed: the identity of the start stays.
    """

    basis: Basis
    points: np.ndarray
    camera: Camera
    unit: float
    expected: np.ndarray
    identity_fixed: bool = False

    def solve(self, first: Solution, steps: int = STEPS) -> Solution:
        """The most likely head, by at most `steps` steps from the solution `first`."""
        now = replace(first, coefficients=np.where(self.basis.free, first.coefficients, self.expected))
        state, damping = self.state(now), 1e-3
        for _ in range(steps):
            if (better := self._step(now, state, damping)) is None:
                break
            gain = state[0] - better[1][0]
            now, state, damping = better
            if gain < ENOUGH * state[0]:
                break
        return now

    def identity_information(self, at: Solution) -> tuple[np.ndarray, np.ndarray]:
        """What the points say about the identity near a solution, without the prior.

        Pose and coefficients are eliminated (Schur complement). Returns the matrix (m, m) and the vector (m,)
        of a quadratic form; those of several pictures add up.
        """
        H, _ = self._normal(at, self.state(at))
        who = np.zeros(len(H), bool)
        who[6 : 6 + len(at.identity)] = True
        coupled = H[np.ix_(who, ~who)]
        reduced = H[np.ix_(who, who)] - coupled @ np.linalg.solve(H[np.ix_(~who, ~who)], coupled.T)
        return reduced - np.eye(len(reduced)), reduced @ at.identity

    def state(self, at: Solution) -> _State:
        """The cost, twice the negative logarithm of the posterior, and the points and residuals behind it."""
        seen = to_camera(self.basis.at(at.identity, at.coefficients), at.R, at.T)
        r = (self.camera.project(seen) - self.points) * self._scale
        surprise = (at.coefficients - self.expected)[self.basis.free] / DEVIATION
        return float((r**2).sum() + (at.identity**2).sum() + (surprise**2).sum()), seen, r

    @property
    def _scale(self) -> np.ndarray:
        """The weight (l, 1) of a residual of one pixel."""
        return np.sqrt(self.basis.weights)[:, None] / (NOISE * self.unit)

    def _normal(self, at: Solution, state: _State) -> tuple[np.ndarray, np.ndarray]:
        """The Gauss-Newton matrix (u, u) and the gradient (u,) of half the cost."""
        basis, (_, seen, r) = self.basis, state
        P = np.zeros((len(seen), 2, 3))  # of a projected point by its place before the camera
        P[:, 0, 0] = P[:, 1, 1] = self.camera.focal / seen[:, 2]
        P[:, :, 2] = -self.camera.focal * seen[:, :2] / seen[:, 2:] ** 2
        P *= self._scale[:, :, None]
        x, y, z = (seen - at.T).T
        zero = np.zeros_like(x)
        turned = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], 1).reshape(-1, 3, 3)  # by a small turn
        linear = basis.shapes[basis.free]
        if not self.identity_fixed:
            linear = np.concatenate([basis.identities[: len(at.identity)], linear])
        M = P @ (FLIP @ at.R)
        bent = sum(M[:, :, k, None] * linear[:, :, k].T[:, None] for k in range(3))
        J = np.concatenate([P @ turned, P, bent], 2).reshape(2 * len(seen), -1)
        identity = at.identity[:0] if self.identity_fixed else at.identity
        surprise = (at.coefficients - self.expected)[basis.free] / DEVIATION**2
        weight = np.concatenate([np.zeros(6), np.ones(len(identity)), np.full(len(surprise), DEVIATION**-2)])
        return J.T @ J + np.diag(weight), J.T @ r.ravel() + np.concatenate([np.zeros(6), identity, surprise])

    def _step(self, at: Solution, state: _State, damping: float) -> tuple[Solution, _State, float] | None:
        """The next solution, its state and the next damping; None where no step lowers the cost.

        A coefficient at a bound stays there while the gradient pushes it beyond.
        """
        H, g = self._normal(at, state)
        free = np.flatnonzero(self.basis.free)
        first = len(g) - len(free)
        here, pushed = at.coefficients[free], g[first:]
        active = np.concatenate(
            [np.ones(first, bool), ~((here <= 0) & (pushed > 0) | (here >= 1) & (pushed < 0))]
        )
        for _ in range(6):
            step = np.zeros(len(g))
            damped = H + damping * np.diag(np.diag(H))
            step[active] = -np.linalg.solve(damped[np.ix_(active, active)], g[active])
            coefficients = at.coefficients.copy()
            coefficients[free] = np.clip(here + step[first:], 0, 1)
            identity = (
                at.identity if self.identity_fixed else np.clip(at.identity + step[6:first], -MOST, MOST)
            )
            tried = Solution(FLIP @ turn(step[:3]) @ FLIP @ at.R, at.T + step[3:6], identity, coefficients)
            if (new := self.state(tried))[0] < state[0]:
                return tried, new, max(damping / 4, 1e-6)
            damping *= 8
        return None

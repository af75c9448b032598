"""Pose, identity and expression of a head from points in a picture: Levenberg-Marquardt with priors and
bounds.

Letters: l landmarks, m identity modes, k coefficients, u unknowns (6 of the pose, m, the free coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .camera import FLIP, Camera, to_camera, turn

NOISE = 0.015  # of the eyes' distance: a landmark's error, shared by its neighbours
DEVIATION = 0.25  # of a coefficient, about what is expected of it
MOST = 3.0  # standard deviations of an identity mode
STEPS = 12
ENOUGH = 1e-4  # gain of a step, of the cost, after which none follows


@dataclass(frozen=True, eq=False)
class Basis:
    """The model at the landmarks: neutral (l, 3), identities (m, l, 3), shapes (k, l, 3), weights (l,), and
    which coefficients are free (k,)."""

    neutral: np.ndarray
    identities: np.ndarray
    shapes: np.ndarray
    weights: np.ndarray
    free: np.ndarray

    def at(self, identity: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Landmarks (l, 3) in head space."""
        moved = np.tensordot(identity, self.identities[: len(identity)], 1)
        return self.neutral + moved + np.tensordot(coefficients, self.shapes, 1)


@dataclass(frozen=True, eq=False)
class Solution:
    """R (3, 3), T (3,), identity (m,) in standard deviations, coefficients (k,) in [0, 1]; float64."""

    R: np.ndarray
    T: np.ndarray
    identity: np.ndarray
    coefficients: np.ndarray


def start(basis: Basis, points: np.ndarray, camera: Camera, coefficients: np.ndarray) -> Solution:
    """A pose to begin with: the scaled orthographic camera that fits best (POS, DeMenthon & Davis 1995)."""
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
    """Points (l, 2) in pixels that a head is looked for in.

    unit: the eyes' distance, pixels. expected: coefficients (k,) that are likely, and stay where they are not
    free. known: the identity that is begun with is right and stays.
    """

    basis: Basis
    points: np.ndarray
    camera: Camera
    unit: float
    expected: np.ndarray
    known: bool = False

    def solve(self, begin: Solution, steps: int = STEPS) -> Solution:
        """The most likely head."""
        now = replace(begin, coefficients=np.where(self.basis.free, begin.coefficients, self.expected))
        state, damping = self.state(now), 1e-3
        for _ in range(steps):
            if (found := self._step(now, state, damping)) is None:
                break
            gain = state[0] - found[1][0]
            now, state, damping = found
            if gain < ENOUGH * state[0]:
                break
        return now

    def told(self, at: Solution) -> tuple[np.ndarray, np.ndarray]:
        """What the points tell of the identity around a solution, whatever pose and coefficients are: the
        matrix (m, m) and the vector (m,) of a quadratic form, without the prior. Several pictures' are
        added."""
        H, _ = self._normal(at, self.state(at))
        who = np.zeros(len(H), bool)
        who[6 : 6 + len(at.identity)] = True
        coupled = H[np.ix_(who, ~who)]
        held = H[np.ix_(who, who)] - coupled @ np.linalg.solve(H[np.ix_(~who, ~who)], coupled.T)
        return held - np.eye(len(held)), held @ at.identity

    def state(self, at: Solution) -> _State:
        """The cost (twice the negative logarithm of the likelihood), and what it comes from."""
        seen = to_camera(self.basis.at(at.identity, at.coefficients), at.R, at.T)
        r = (self.camera.project(seen) - self.points) * self._scale
        surprise = (at.coefficients - self.expected)[self.basis.free] / DEVIATION
        return float((r**2).sum() + (at.identity**2).sum() + (surprise**2).sum()), seen, r

    @property
    def _scale(self) -> np.ndarray:
        """(l, 1): weight of a pixel."""
        return np.sqrt(self.basis.weights)[:, None] / (NOISE * self.unit)

    def _normal(self, at: Solution, state: _State) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton's matrix (u, u) and the gradient (u,), both of half the cost."""
        basis, (_, seen, r) = self.basis, state
        P = np.zeros((len(seen), 2, 3))  # of a projected point by its place before the camera
        P[:, 0, 0] = P[:, 1, 1] = self.camera.focal / seen[:, 2]
        P[:, :, 2] = -self.camera.focal * seen[:, :2] / seen[:, 2:] ** 2
        P *= self._scale[:, :, None]
        x, y, z = (seen - at.T).T
        zero = np.zeros_like(x)
        turned = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], 1).reshape(-1, 3, 3)  # by a small turn
        linear = basis.shapes[basis.free]
        if not self.known:
            linear = np.concatenate([basis.identities[: len(at.identity)], linear])
        M = P @ (FLIP @ at.R)
        bent = sum(M[:, :, k, None] * linear[:, :, k].T[:, None] for k in range(3))
        J = np.concatenate([P @ turned, P, bent], 2).reshape(2 * len(seen), -1)
        identity = at.identity[:0] if self.known else at.identity
        surprise = (at.coefficients - self.expected)[basis.free] / DEVIATION**2
        weight = np.concatenate([np.zeros(6), np.ones(len(identity)), np.full(len(surprise), DEVIATION**-2)])
        return J.T @ J + np.diag(weight), J.T @ r.ravel() + np.concatenate([np.zeros(6), identity, surprise])

    def _step(self, at: Solution, state: _State, damping: float) -> tuple[Solution, _State, float] | None:
        """The next solution and damping; None where nothing is gained. Coefficients at a bound that are
        pushed beyond it stay."""
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
            identity = at.identity if self.known else np.clip(at.identity + step[6:first], -MOST, MOST)
            tried = Solution(FLIP @ turn(step[:3]) @ FLIP @ at.R, at.T + step[3:6], identity, coefficients)
            if (new := self.state(tried))[0] < state[0]:
                return tried, new, max(damping / 4, 1e-6)
            damping *= 8
        return None

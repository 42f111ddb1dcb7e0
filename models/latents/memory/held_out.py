"""Logistic regressions, judged on dialogues that they were not fitted on.

All classifiers of views are these: probes, baselines, oracles, and directions to intervene in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...evaluation.measures import Floats

FOLDS, INNER_FOLDS = 10, 3
PENALTIES = (0.003, 0.03, 0.3)  # inverse strengths that the dialogues fitted on choose from

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


def held_out_log_odds(
    features: Floats, happened: Flags, dialogue: Ints, *, balanced: bool = False
) -> Floats:
    """Log-odds of every event, from a regression (and its penalty) fitted on other dialogues.

    Args:
        features: (N, F); F = 0 gives the log-odds of the other dialogues' share.
        happened, dialogue: of each event, (N,).
        balanced: both kinds weigh alike, however many there are of each, so that log-odds of 0 are
            the best threshold for both.
    Raises:
        ConfigError: fewer than two dialogues, or some without which one of the kinds is gone.
    """
    folds = _folds(dialogue, FOLDS)
    if not folds:
        raise ConfigError(
            "expected at least 2 dialogues, to fit on some and to judge on others, got "
            f"{len(np.unique(dialogue))}"
        )
    found = np.zeros(len(happened))
    for train, test in folds:
        shifts, count = int(happened[train].sum()), len(train)
        if not 0 < shifts < count:
            raise ConfigError(
                f"expected shifts and holds to fit on, got {shifts} and {count - shifts}"
            )
        if features.shape[1]:
            penalty = _best_penalty(features[train], happened[train], dialogue[train], balanced)
            fitted = fit_linear(features[train], happened[train], penalty, balanced=balanced)
            found[test] = fitted.log_odds(features[test])
        elif not balanced:
            found[test] = np.log(shifts / (count - shifts))
    return found


def is_fittable(happened: Flags, dialogue: Ints) -> bool:
    """Can `held_out_log_odds` fit: both kinds to fit on, whichever dialogues are judged?"""
    folds = _folds(dialogue, FOLDS)
    return bool(folds) and all(0 < happened[train].sum() < len(train) for train, _ in folds)


def _best_penalty(features: Floats, happened: Flags, dialogue: Ints, balanced: bool) -> float:
    """The one with the least log-loss on dialogues left out in turn; the middle one where that
    cannot be tried.
    """
    weights = np.ones(len(happened))
    if balanced:
        weights = np.where(happened, 1 / happened.sum(), 1 / (~happened).sum())
    losses: list[list[float]] = []
    for train, test in _folds(dialogue, INNER_FOLDS):
        if 0 < happened[train].sum() < len(train):
            some = features[train], happened[train]
            fits = [fit_linear(*some, penalty, balanced=balanced) for penalty in PENALTIES]
            missed = [log_loss(fit.log_odds(features[test]), happened[test]) for fit in fits]
            losses.append([float(weights[test] @ loss) for loss in missed])
    if not losses:
        return PENALTIES[len(PENALTIES) // 2]
    return PENALTIES[int(np.sum(losses, axis=0).argmin())]


def _folds(dialogue: Ints, most: int) -> list[tuple[Ints, Ints]]:
    """Places to fit on and to judge on, by whole dialogues; none of a single dialogue."""
    from sklearn.model_selection import GroupKFold

    count = min(most, len(np.unique(dialogue)))
    return list(GroupKFold(count).split(dialogue, groups=dialogue)) if count > 1 else []


def log_loss(log_odds: Floats, happened: Flags) -> Floats:
    """Of each event, in nats, (N,)."""
    return np.logaddexp(0, np.where(happened, -log_odds, log_odds))


@dataclass(frozen=True)
class Linear:
    """A linear classifier."""

    direction: Floats  # in which the log-odds rise, per unit of each feature, (F,)
    offset: float  # log-odds where all features are 0

    def log_odds(self, features: NDArray[Any]) -> Floats:
        """Return the log-odds of events, (N, F) to (N,)."""
        return features.astype(np.float64) @ self.direction + self.offset


def fit_linear(
    features: NDArray[Any],
    happened: Flags,
    penalty: float,
    *,
    weights: Floats | None = None,
    balanced: bool = False,
) -> Linear:
    """Fit a logistic regression on features, (N, F), that are scaled to a deviation of 1.

    Args:
        features, happened: of each event; of both kinds.
        penalty: inverse strength of the regularisation.
        weights, balanced: of each event, (N,); both kinds weigh alike.
    """
    from sklearn.linear_model import LogisticRegression

    values = features.astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    kinds = "balanced" if balanced else None
    fitted: Any = LogisticRegression(C=penalty, class_weight=kinds, max_iter=1000)
    fitted.fit((values - mean) / spread, happened, sample_weight=weights)
    direction = fitted.coef_[0] / spread
    return Linear(direction, float(fitted.intercept_[0] - mean @ direction))

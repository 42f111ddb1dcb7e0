"""Logistic regressions, judged on dialogues that they were not fitted on.

All classifiers of views are these: probes, baselines, oracles, and directions to intervene in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError

FOLDS, INNER_FOLDS = 10, 3
PENALTIES = (0.003, 0.03, 0.3)  # inverse strengths that the dialogues fitted on choose from

Floats = NDArray[np.float64]


def held_out_log_odds(
    features: Floats,
    happened: NDArray[np.bool_],
    dialogue: NDArray[np.int64],
    *,
    balanced: bool = False,
) -> Floats:
    """Log-odds of every event, each from a regression fitted on other dialogues.

    Features are scaled and the penalty is chosen on the dialogues fitted on.

    Args:
        features: (N, F); F = 0 gives the log-odds of the other dialogues' share.
        happened: (N,).
        dialogue: (N,), any number that tells the events of one dialogue from those of another.
        balanced: both kinds weigh alike, however many there are of each, so that log-odds of 0 are
            the best threshold for both.
    Returns:
        (N,).
    Raises:
        ConfigError: fewer than two dialogues, or some without which one of the kinds is gone.
    """
    from sklearn.model_selection import GroupKFold

    different = len(np.unique(dialogue))
    if different < 2:
        raise ConfigError(
            f"expected at least 2 dialogues, to fit on some and to judge on others, got {different}"
        )
    found = np.zeros(len(happened))
    for train, test in GroupKFold(min(FOLDS, different)).split(features, groups=dialogue):
        found[test] = fitted_log_odds(
            features[train], happened[train], dialogue[train], features[test], balanced=balanced
        )
    return found


def is_fittable(happened: NDArray[np.bool_], dialogue: NDArray[np.int64]) -> bool:
    """Can `held_out_log_odds` fit: two dialogues or more, and both kinds to fit on, whichever are
    judged?
    """
    from sklearn.model_selection import GroupKFold

    different = len(np.unique(dialogue))
    if different < 2:
        return False
    folds = GroupKFold(min(FOLDS, different)).split(happened, groups=dialogue)
    return all(0 < happened[train].sum() < len(train) for train, _ in folds)


def fitted_log_odds(
    features: Floats,
    happened: NDArray[np.bool_],
    dialogue: NDArray[np.int64],
    asked: Floats,
    *,
    balanced: bool = False,
) -> Floats:
    """Log-odds of other events, (N', F) -> (N',), from a regression fitted on some; see
    `held_out_log_odds`.

    Raises:
        ConfigError: only one kind to fit on.
    """
    if happened.all() or not happened.any():
        raise ConfigError(
            f"expected shifts and holds to fit on, got {int(happened.sum())} and "
            f"{int((~happened).sum())}"
        )
    if not features.shape[1]:
        share = 0.5 if balanced else happened.mean()
        return np.full(len(asked), np.log(share / (1 - share)))
    penalty = _best_penalty(features, happened, dialogue, balanced)
    return fit_linear(features, happened, penalty, balanced=balanced).log_odds(asked)


def _best_penalty(
    features: Floats, happened: NDArray[np.bool_], dialogue: NDArray[np.int64], balanced: bool
) -> float:
    """The one with the least log-loss on dialogues left out in turn; the middle one where that
    cannot be tried.
    """
    from sklearn.model_selection import GroupKFold

    different = len(np.unique(dialogue))
    losses = np.zeros(len(PENALTIES))
    weights = (
        np.where(happened, 1 / max(happened.sum(), 1), 1 / max((~happened).sum(), 1))
        if balanced
        else np.ones(len(happened))
    )
    tried = 0
    if different > 1:
        for train, test in GroupKFold(min(INNER_FOLDS, different)).split(features, groups=dialogue):
            if 0 < happened[train].sum() < len(train):
                tried += 1
                for place, penalty in enumerate(PENALTIES):
                    fitted = fit_linear(
                        features[train], happened[train], penalty, balanced=balanced
                    )
                    log_odds = fitted.log_odds(features[test])
                    losses[place] += (weights[test] * log_loss(log_odds, happened[test])).sum()
    return PENALTIES[int(losses.argmin())] if tried else PENALTIES[len(PENALTIES) // 2]


def log_loss(log_odds: Floats, happened: NDArray[np.bool_]) -> Floats:
    """Of each event, in nats, (N,)."""
    return np.logaddexp(0, np.where(happened, -log_odds, log_odds))


@dataclass(frozen=True)
class Linear:
    """A linear classifier.

    Attributes:
        direction: in which the log-odds rise, per unit of each feature, (F,).
        offset: log-odds where all features are 0.
    """

    direction: Floats
    offset: float

    def log_odds(self, features: NDArray[Any]) -> Floats:
        """Return the log-odds of events, (N, F) to (N,)."""
        return features.astype(np.float64) @ self.direction + self.offset


def fit_linear(
    features: NDArray[Any],
    happened: NDArray[np.bool_],
    penalty: float,
    *,
    weights: Floats | None = None,
    balanced: bool = False,
) -> Linear:
    """Fit a logistic regression on features that are scaled to a deviation of 1.

    Args:
        features: (N, F).
        happened: of both kinds, (N,).
        penalty: inverse strength of the regularisation.
        weights: of each event, (N,); None weighs all alike.
        balanced: both kinds weigh alike.
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

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from turnstream.models.evaluation.measures import auc
from turnstream.models.latents.memory import held_out
from turnstream.models.latents.memory.held_out import fit_linear, held_out_log_odds, is_fittable
from turnstream.stream.errors import ConfigError


def events(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of which the first tells, what happened, and dialogues."""
    rng = np.random.default_rng(seed)
    features = rng.normal(5, 3, (120, 4))
    return features, features[:, 0] + rng.normal(0, 2, 120) > 5, np.repeat(np.arange(6), 20)


@pytest.mark.parametrize("balanced", [False, True])
def test_equals_scikit_learns_pipeline(balanced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "PENALTIES", (0.3,))
    features, happened, dialogue = events()
    happened[:60] |= np.random.default_rng(1).random(60) < 0.3
    kinds = "balanced" if balanced else None
    fitted = LogisticRegression(C=0.3, class_weight=kinds, max_iter=1000)
    given = {"groups": dialogue, "cv": GroupKFold(6), "method": "decision_function"}
    pipeline = make_pipeline(StandardScaler(), fitted)
    expected = cross_val_predict(pipeline, features, happened, **given)
    found = held_out_log_odds(features, happened, dialogue, balanced=balanced)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_only_tells_dialogues_apart_tells_nothing_of_others() -> None:
    """The same features do tell when a dialogue may be fitted on itself: so a leak would look."""
    happened, dialogue = np.arange(160) // 2 % 2 == 0, np.arange(160) // 2 % 80
    which = np.eye(80)[dialogue]
    assert auc(held_out_log_odds(which, happened, dialogue), happened) < 0.6
    assert auc(fit_linear(which, happened, 0.3).log_odds(which), happened) == 1


def test_no_features_give_the_share_of_the_other_dialogues() -> None:
    happened, dialogue = np.array([1, 1, 1, 0, 0, 0, 0, 1], bool), np.repeat([0, 1], 4)
    found = held_out_log_odds(np.zeros((8, 0)), happened, dialogue)
    np.testing.assert_allclose(found, np.log(np.repeat([1 / 3, 3], 4)))


def test_what_cannot_be_fitted_is_known_before_and_refused() -> None:
    features, happened, dialogue = events()
    assert is_fittable(happened, dialogue)
    nothing, kinds = np.zeros(120, int), "expected shifts and holds to fit on"
    cases = [
        (happened, nothing, "at least 2 dialogues, to fit on some and to judge on others, got 1"),
        (np.ones(120, bool), dialogue, f"{kinds}, got 100 and 0"),
        # Without dialogue 2 there is one kind.
        (happened & (dialogue == 2), dialogue, kinds),
        (~happened | (dialogue != 2), dialogue, kinds),
    ]
    for answers, numbers, complaint in cases:
        assert not is_fittable(answers, numbers)
        with pytest.raises(ConfigError, match=complaint):
            held_out_log_odds(features, answers, numbers)

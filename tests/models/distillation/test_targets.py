import dataclasses

import numpy as np
import pytest
import torch

from turnstream.models.distillation.targets import Targets, stop_point_scale
from turnstream.models.teachers.extraction import Extraction
from turnstream.models.teachers.judge import Judge
from turnstream.models.teachers.saved_judge import SavedJudge
from turnstream.models.teachers.stop_point_space import StopPointSpace

from ..linear_teacher import SETTINGS


def test_the_scale_of_components_evens_them_out_by_as_much_as_is_asked_for(
    linear_teacher: Extraction,
) -> None:
    space = StopPointSpace.fit(linear_teacher.stop_points()[3], 3)
    own, half, even = (
        stop_point_scale(space, dataclasses.replace(SETTINGS, whitening=whitening))
        * space.deviation
        for whitening in (0.0, 0.35, 0.5)
    )
    assert own[0] / own[2] == pytest.approx(space.deviation[0] / space.deviation[2], rel=1e-4)
    assert half[0] / half[2] == pytest.approx(
        (space.deviation[0] / space.deviation[2]) ** 0.3, rel=1e-4
    )
    assert even == pytest.approx(np.ones(3), rel=1e-4)
    for scale in (own, half, even):
        assert np.mean(scale**2) == pytest.approx(1, rel=1e-4)


def test_the_judge_that_is_given_is_the_target_and_not_that_of_the_texts(
    linear_teacher: Extraction,
) -> None:
    embeddings = linear_teacher.stop_points()[3]
    space = StopPointSpace.fit(embeddings, 3)
    judge = SavedJudge(Judge(np.array([0.0, 2.0, 0.0], np.float32), 1.0), space)
    by_texts, by_judge = (
        Targets.of(linear_teacher, space, SETTINGS, torch.device("cpu"), given)
        for given in (None, judge)
    )
    rows = torch.arange(len(embeddings))
    expected = 1 / (1 + np.exp(-(2 * space.coordinates(embeddings)[:, 1] + 1)))
    np.testing.assert_allclose(by_judge.judge_scores(rows).numpy(), expected, rtol=1e-4)
    assert float(by_judge.judge[: len(rows)].std()) == pytest.approx(1, rel=1e-2)
    assert not np.allclose(by_texts.judge_scores(rows).numpy(), expected, atol=0.1)
    # Where the teacher was not asked, the targets are those of alike stop points, or none.
    assert len(by_judge.judge) == len(by_texts.judge) == len(linear_teacher.listed()[0])

import dataclasses

import numpy as np
import pytest

from turnstream.models.distillation.targets import stop_point_scale
from turnstream.models.teachers.extraction import Extraction
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

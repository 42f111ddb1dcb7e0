"""The estimate of what a session will cost, from the steps before the first client."""

from __future__ import annotations

from unittest.mock import patch

from turnstream.stream.engine import Engine, Float32, StepOutput
from turnstream.stream.service import warm_up
from turnstream.stream.service.warm_up import session_share


class Timed:
    """An engine whose steps take 4 ms of the processor, the first one more; and its clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metadata = engine.metadata
        self.rows: list[int] = []
        self._cpu_s = 0.0

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        self._cpu_s += 0.004 if self.rows else 0.1
        self.rows.append(len(audio))
        return self._engine.step(audio, state)

    def clock(self) -> float:
        """Return the processor time; whatever is measured takes 0.2 ms more."""
        self._cpu_s += 0.0002
        return self._cpu_s


def test_a_session_costs_its_row_of_a_full_step_and_six_times_its_own_work(
    engine: Engine,
) -> None:
    timed = Timed(engine)
    with patch.object(warm_up.time, "thread_time", timed.clock):
        share = session_share(timed, 8, pause=False)
        assert abs(share - 50 * (0.0042 / 8 + 6 * 0.0002 / 20)) < 1e-9
        assert session_share(timed, 8, pause=True) > share + 0.05
    assert set(timed.rows) == {8}

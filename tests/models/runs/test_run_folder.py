from pathlib import Path

from turnstream.models.runs.run_folder import LOG_FILE, begin_run
from turnstream.models.training.settings import TrainingSettings


def test_the_log_is_cut_back_to_the_step_and_loses_a_line_that_was_cut_short(
    tmp_path: Path,
) -> None:
    kept = '{"step": 10, "loss": 1.0}\n{"step": 20, "loss": null}\n'
    (tmp_path / LOG_FILE).write_text(kept + '{"step": 30, "loss": 0.8}\n{"step": 40, "lo')
    begin_run(tmp_path, TrainingSettings(), 20)
    assert (tmp_path / LOG_FILE).read_text() == kept

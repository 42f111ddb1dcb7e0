"""Writes the ends of turns in recordings as CSV, much faster than real time.

Usage: python score_recordings.py RECORDING... > ends.csv
"""

from __future__ import annotations

import csv
import sys
from contextlib import closing

from turnstream import Engine, FileSource, Prediction, TurnPredictor


def predict(engine: Engine, path: str) -> list[Prediction]:
    """Predict on a whole recording; of one channel, or of user and other speaker."""
    with closing(FileSource(path)) as recording:
        rate_hz = recording.sample_rate_hz
        predictor = TurnPredictor(engine, sample_rate_hz=rate_hz, policy="balanced")
        predictions: list[Prediction] = []
        for block in recording:
            predictions += predictor.push_audio(block if recording.channels == 2 else block[:, 0])
        return predictions + predictor.flush()


def main() -> None:
    engine = Engine()  # one for all recordings
    table = csv.writer(sys.stdout)
    table.writerow(("recording", "speaker", "time_s", "p_shift"))
    for path in sys.argv[1:]:
        for prediction in predict(engine, path):
            for event in prediction.events:
                if event.type == "end_of_turn":
                    table.writerow((path, event.speaker, event.time_s, round(event.probability, 3)))


if __name__ == "__main__":
    main()

"""The measures of a run at each validation, its best averaged weights, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..dialogues.manifest import Dialogue
from ..evaluation.shift_hold import SCORE_MS
from ..turn_model import TurnModel
from .evaluation import shift_hold_scores, validation_losses
from .settings import TOTAL, LossWeights, TrainingSettings


def measure(
    model: TurnModel,
    validation: Sequence[Dialogue],
    real: Sequence[Dialogue],
    weights: LossWeights,
    device: str,
) -> dict[str, float]:
    """Return losses on held-out dialogues, and shift/hold scores on real ones.

    The names of the scores begin with real_.

    Args:
        model: in evaluation mode, on the device.
        validation: held-out conversations; if there are none, no losses are returned.
        real: real conversations; if there are none, no scores are returned.
        weights: weights of the heads in the total.
        device: torch device.
    """
    measured = validation_losses(model, validation, device) if validation else {}
    if measured:
        measured[TOTAL] = sum(getattr(weights, name) * loss for name, loss in measured.items())
    if real:
        at = shift_hold_scores(model, real, device=device).at
        measured |= {f"real_auc_{ms}ms": score.auc.value for ms, score in at.items()}
        measured[f"real_balanced_accuracy_{SCORE_MS}ms"] = at[SCORE_MS].balanced_accuracy.value
    return measured


class BestWeights:
    """The weights with the lowest validation loss so far, if the settings ask to keep them.

    Only `settings.measure` decides, a loss on the validation dialogues. The real dialogues decide
    nothing, because they evaluate the run.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self.loss = math.inf
        self.step = 0
        self.since = 0  # validations since that step
        self.weights: dict[str, Tensor] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return 0 < self._settings.patience <= self.since

    def update(self, measured: dict[str, float], step: int, model: nn.Module) -> None:
        """Compare the measures of one validation with the best, and keep the better weights."""
        if not self._settings.keeps_best:
            return
        loss = measured[self._settings.measure]
        self.since += 1
        if loss < self.loss:
            self.loss, self.step, self.since = loss, step, 0
            self.weights = {
                name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()
            }

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "step": self.step, "since": self.since, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.step, self.since, self.weights = (
            state["loss"],
            state["step"],
            state["since"],
            state["weights"],
        )

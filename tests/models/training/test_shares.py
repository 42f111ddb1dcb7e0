import torch

from turnstream.models.projection import UNKNOWN
from turnstream.models.training.losses import TargetBatch, head_losses
from turnstream.models.training.shares import label_counts
from turnstream.models.turn_model import TurnModel

from ...networks import TINY


def test_every_heads_loss_is_its_sum_over_its_count() -> None:
    """Two batch rows give the same loss counted apart or together.

    Means over processes rely on that.
    """
    torch.manual_seed(0)
    model = TurnModel(TINY).eval()
    output, _ = model(0.1 * torch.randn(2, 2, 3200), model.init_state(2))
    vad = (torch.rand(2, 2, 10) < 0.5).float()
    projection = torch.randint(256, (2, 10))
    projection[1, 3:] = UNKNOWN
    weight = torch.tensor([[1.0] * 10, [0.5] * 10])
    completeness = torch.rand(2, 2, 10).where(torch.rand(2, 2, 10) < 0.3, torch.nan)
    together = TargetBatch(vad, projection, torch.rand(2, 10), weight, 1 - vad, completeness)
    apart = [
        TargetBatch(*(value[batch_row : batch_row + 1] for value in vars(together).values()))
        for batch_row in (0, 1)
    ]
    losses, counts = head_losses(output, together), label_counts(together)
    assert losses.keys() == counts.keys()
    for name, loss in losses.items():
        sums = [
            head_losses(
                type(output)(*(part[batch_row : batch_row + 1] for part in output)),
                apart[batch_row],
            )[name]
            * label_counts(apart[batch_row])[name]
            for batch_row in (0, 1)
        ]
        assert torch.allclose(torch.stack(sums).sum() / counts[name], loss, atol=1e-6), name

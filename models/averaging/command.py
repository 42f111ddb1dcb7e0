"""`turnstream average`: one network out of several that began with the same weights.

Networks that were fine-tuned from the same start, on other data or with other losses, lie in one
basin: the mean of their weights is often better than each of them, and costs no more to run.

Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...stream.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream average`."""
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folder of `turnstream train`; at least two, all started with the same encoder",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder for the mean network"
    )


def main(args: argparse.Namespace) -> int:
    """Write the mean network and print where it is."""
    average(args.runs, args.out)
    print(
        f"mean of {len(args.runs)} networks in {args.out}; export it with: turnstream export "
        f"{args.out} --out {args.out}/model.onnx"
    )
    return 0


def average(runs: Sequence[Path], out: Path) -> None:
    """Write the network whose weights are the mean of the weights of others.

    Args:
        runs: folders with networks of the same configuration, at least two.
        out: folder to write to.
    Raises:
        ConfigError: fewer than two networks, one that cannot be read, or another configuration.
    """
    import torch

    from ..checkpoint import load_checkpoint, save_checkpoint

    if len(runs) < 2:
        raise ConfigError(f"expected at least two networks to average, got {len(runs)}")
    networks = [load_checkpoint(run) for run in runs]
    for run, network in zip(runs, networks, strict=True):
        if network.config != networks[0].config:
            raise ConfigError(
                f"expected networks of one configuration, that of {runs[0]}, got another in {run}"
            )
    weights = [network.state_dict() for network in networks]
    mean = networks[0]
    mean.load_state_dict(
        {name: torch.stack([one[name] for one in weights]).mean(dim=0) for name in weights[0]}
    )
    save_checkpoint(mean, out)

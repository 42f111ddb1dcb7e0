"""The saved projection that a running model's states are shown in: what the server's page and the terminal's plane have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError
from .protocol import LatentKind
from .saved_embedding import SavedProjection, bundled_plane, load_projection
from .settings import LatentChoice

_SHOWN_HEX = 12  # of a hash: enough to tell two models apart


@dataclass(frozen=True)
class LiveProjection:
    """A projection into a plane that new states can be placed in as they come.

    Attributes:
        path: its file.
        saved: what the file holds.
    """

    path: Path
    saved: SavedProjection

    @classmethod
    def load(cls, path: Path | None = None) -> LiveProjection:
        """Read one; None is the bundled model's plane.

        Raises:
            ConfigError: no such file, not a projection, without a formula, or not into a plane.
        """
        path = path or bundled_plane()
        saved = load_projection(path)
        if not saved.has_formula:
            raise ConfigError(
                f"{path}: expected a projection that can follow a live conversation (plane, pca or autoencoder), "
                f"got {saved.method}, which has no formula and places recorded states only"
            )
        if saved.dims != 2:
            raise ConfigError(f"{path}: expected a projection into 2 dimensions, got {saved.dims}")
        return cls(path, saved)

    @property
    def latents(self) -> LatentChoice:
        """What to ask a stream for to get the states that are projected."""
        return "all" if self.saved.layer == "latent_speaker" else "final"

    def check_fits(
        self, model_name: str, weights_sha256: str, latent_sizes: Mapping[LatentKind, int]
    ) -> None:
        """Check that it was fitted on the states of the model that runs.

        Args:
            model_name, weights_sha256: of the model that runs.
            latent_sizes: length of its states by name, for one speaker.
        Raises:
            ConfigError: it is another model's, or of states of another name or length.
        """
        saved = self.saved
        sizes: dict[str, int] = {**latent_sizes}
        name = "the bundled plane" if self.path == bundled_plane() else str(self.path)
        if saved.weights_sha256 != weights_sha256:
            raise ConfigError(
                f"expected a projection of the model that runs, {model_name} (weights {weights_sha256[:_SHOWN_HEX]}), "
                f"got {name}, of {saved.model} (weights {saved.weights_sha256[:_SHOWN_HEX]}); `turnstream latents project` fits one"
            )
        width = saved.layers[0].weight.shape[1]
        if sizes.get(saved.layer) != width:
            known = " or ".join(f"{kind} of {size} values" for kind, size in sizes.items())
            raise ConfigError(
                f"expected a projection of the model's {known}, got {name}, of {saved.layer} of {width} values"
            )

"""The saved embedding in which the states of a running model are displayed.

The server's web page and the terminal's plane both use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError
from .latent_message import LatentKind
from .saved_embedding import SavedEmbedding, bundled_plane, load_embedding
from .settings import LatentChoice

_SHOWN_HEX = 12  # digits of a hash in messages; enough to tell two models apart


@dataclass(frozen=True)
class LiveEmbedding:
    """A 2-D embedding that can transform new states live.

    Attributes:
        path: the file.
        saved: the content of the file.
    """

    path: Path
    saved: SavedEmbedding

    @classmethod
    def load(cls, path: Path | None = None) -> LiveEmbedding:
        """Read an embedding.

        Args:
            path: the file; None is the bundled model's plane.
        Raises:
            ConfigError: the file does not exist or is no embedding, or the embedding has no formula
                or not 2 dimensions.
        """
        path = path or bundled_plane()
        saved = load_embedding(path)
        if not saved.has_formula:
            raise ConfigError(
                f"{path}: expected a projection that can follow a live conversation "
                "(plane, pca or autoencoder), "
                f"got {saved.method}, which has no formula and places recorded states only"
            )
        if saved.dims != 2:
            raise ConfigError(f"{path}: expected a projection into 2 dimensions, got {saved.dims}")
        return cls(path, saved)

    @property
    def latents(self) -> LatentChoice:
        """The stream setting that delivers the states to embed."""
        return "all" if self.saved.layer == "latent_speaker" else "final"

    def check_fits(
        self, model_name: str, weights_sha256: str, latent_sizes: Mapping[LatentKind, int]
    ) -> None:
        """Check that the embedding was fitted on states of the running model.

        Args:
            model_name: name of the running model, for messages.
            weights_sha256: hash of its weights.
            latent_sizes: length of each of its states for one speaker, by name.
        Raises:
            ConfigError: the embedding is of another model, or of a state of another name or length.
        """
        saved = self.saved
        sizes: dict[str, int] = {**latent_sizes}
        name = "the bundled plane" if self.path == bundled_plane() else str(self.path)
        if saved.weights_sha256 != weights_sha256:
            raise ConfigError(
                f"expected a projection of the model that runs, {model_name} "
                f"(weights {weights_sha256[:_SHOWN_HEX]}), got {name}, of {saved.model} "
                f"(weights {saved.weights_sha256[:_SHOWN_HEX]}); "
                "`turnstream latents project` fits one"
            )
        width = saved.layers[0].weight.shape[1]
        if sizes.get(saved.layer) != width:
            known = " or ".join(f"{kind} of {size} values" for kind, size in sizes.items())
            raise ConfigError(
                f"expected a projection of the model's {known}, "
                f"got {name}, of {saved.layer} of {width} values"
            )

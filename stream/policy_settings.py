"""The settings of a policy: thresholds and times, presets, and the choice among them.

`policy.py` says how the settings are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from .errors import PolicyError, ProtocolError
from .floor import MIN_LEVEL_DBFS
from .prediction import SILENCE_DBFS
from .wire import parse_object, show

_RANGES = {  # last word of a setting's name: its smallest and largest value
    "threshold": (0.0, 1.0),
    "secs": (0.0, 60.0),
    "dbfs": (SILENCE_DBFS, 0.0),
    "db": (0.0, -SILENCE_DBFS),
}


def value_range(name: str) -> tuple[float, float]:
    """Return the smallest and the largest value that a setting may have, by its name."""
    return _RANGES[name.rsplit("_", 1)[1]]


def check_value(name: str, value: object) -> None:
    """Check one value of `PolicySettings`, by its name.

    Raises:
        PolicyError: the value is no number, or out of range.
    """
    low, high = value_range(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PolicyError(f"{name}: expected a number from {low:g} to {high:g}, got {show(value)}")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The settings of a `TurnPolicy`; the docstring of `policy.py` says how they are used.

    Thresholds are probabilities in [0, 1]. Times are in seconds of audio, in [0, 60]. The defaults
    are those of the preset "balanced". Equal values for the eager and the final end mean that no
    `eager_end_of_turn` comes.

    Attributes:
        end_threshold: least probability for `end_of_turn`.
        end_silence_secs: least silence for `end_of_turn`.
        timeout_secs: silence that ends a turn at any probability; at least `end_silence_secs`.
        eager_threshold: least probability for `eager_end_of_turn`; at most `end_threshold`.
        eager_silence_secs: least silence for `eager_end_of_turn`; at most `end_silence_secs`.
        start_secs: loud speech that starts a turn.
        overlap_secs: overlapping speech after which the model judges it.
        backchannel_threshold: least probability for `backchannel`.
        backchannel_max_secs: a backchannel of this length takes the floor, whatever the model says.
        min_level_dbfs: a frame below this level does not count towards `start_secs`; -120 turns
            this off.
        speech_range_db: neither does a frame more than this below the usual level of the speaker's
            turns; 120 turns this off.

    Raises:
        PolicyError: a value is out of range, an eager value is above the final one, or
            `timeout_secs` is below `end_silence_secs`.
    """

    end_threshold: float = 0.50
    end_silence_secs: float = 0.4
    timeout_secs: float = 2.5
    eager_threshold: float = 0.34
    eager_silence_secs: float = 0.2
    start_secs: float = 0.1
    overlap_secs: float = 0.3
    backchannel_threshold: float = 0.5
    backchannel_max_secs: float = 0.8  # in Switchboard, three of four backchannels are shorter
    min_level_dbfs: float = MIN_LEVEL_DBFS
    speech_range_db: float = 25.0

    def __post_init__(self) -> None:
        for item in fields(self):
            check_value(item.name, getattr(self, item.name))
        if (
            self.eager_threshold > self.end_threshold
            or self.eager_silence_secs > self.end_silence_secs
        ):
            eager = (
                f"eager_threshold {self.eager_threshold} "
                f"and eager_silence_secs {self.eager_silence_secs}"
            )
            raise PolicyError(
                f"expected eager values of at most end_threshold {self.end_threshold} "
                f"and end_silence_secs {self.end_silence_secs}, got {eager}"
            )
        if self.timeout_secs < self.end_silence_secs:
            raise PolicyError(
                f"expected timeout_secs >= end_silence_secs ({self.end_silence_secs}), "
                f"got {self.timeout_secs}"
            )


POLICY_VALUES = tuple(item.name for item in fields(PolicySettings))

# Chosen from the Pareto front of latency and cut-offs that `turnstream evaluate` measures on the
# validation calls. The model hears one speaker's channel at a time there, and the pause model is
# asked. Without it, "balanced" cuts off 18 % instead of 15 %, and is later (model card).
PRESETS: dict[str, PolicySettings] = {
    "fast": PolicySettings(
        end_threshold=0.30,
        end_silence_secs=0.3,
        timeout_secs=2.0,
        eager_threshold=0.24,
        eager_silence_secs=0.1,
    ),
    "balanced": PolicySettings(),
    "patient": PolicySettings(
        end_threshold=0.50,
        end_silence_secs=0.9,
        timeout_secs=2.5,
        eager_threshold=0.40,
        eager_silence_secs=0.3,
    ),
}


def policy_settings(policy: str | PolicySettings) -> PolicySettings:
    """Return the settings of a preset, or the given settings.

    Raises:
        PolicyError: there is no preset of this name.
    """
    if isinstance(policy, PolicySettings):
        return policy
    if policy not in PRESETS:
        raise PolicyError(
            f"expected a policy of {', '.join(PRESETS)} or PolicySettings, got {policy!r}"
        )
    return PRESETS[policy]


@dataclass(frozen=True, slots=True)
class Policies:
    """The presets that a session can ask for by name, and what holds if it asks for nothing.

    Attributes:
        presets: settings by name.
        default: name of the default preset.
        values: values that replace those of the default preset.
    Raises:
        PolicyError: there is no such preset, or a value is unknown or out of range.
    """

    presets: Mapping[str, PolicySettings] = field(default_factory=lambda: PRESETS)
    default: str = "balanced"
    values: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.settings(None, {})

    def settings(self, name: str | None, values: Mapping[str, float]) -> PolicySettings:
        """Return the settings of a preset in which some values are replaced.

        Args:
            name: the preset; None is the default, with the values that belong to it.
            values: values that replace others, by their names in `PolicySettings`.
        Raises:
            PolicyError: there is no such preset, or a value is unknown or out of range.
        """
        if name is None:
            name, values = self.default, {**self.values, **values}
        if name not in self.presets:
            raise PolicyError(
                f"policy: expected one of {', '.join(self.presets)}; got {show(name)}"
            )
        return with_values(self.presets[name], values)


def with_values(settings: PolicySettings, values: Mapping[str, float]) -> PolicySettings:
    """Return settings in which some values are replaced.

    Raises:
        PolicyError: a value is unknown or out of range.
    """
    for name in values:
        if name not in POLICY_VALUES:
            raise PolicyError(
                f"expected values of a policy ({', '.join(POLICY_VALUES)}), got {show(name)}"
            )
    return replace(settings, **values)


def read_presets(path: Path) -> dict[str, PolicySettings]:
    """Read presets from a JSON file.

    The file holds an object of names and settings. A preset may name another one of `PRESETS` that
    it starts from (default "balanced"):

        {"german": {"end_threshold": 0.5}, "dictation": {"policy": "patient", "timeout_secs": 8}}

    Raises:
        PolicyError: the file cannot be read or holds no presets, a preset has an unknown field, or
            a value is out of range.
    """
    try:
        entries = parse_object(path.read_text(encoding="utf-8"), "bad_setting")
    except (OSError, UnicodeDecodeError, ProtocolError) as error:
        raise PolicyError(
            f"expected a JSON file of policies, name: settings, got {str(path)!r}: {error}"
        ) from None
    if not entries:
        raise PolicyError(f"expected at least one policy in {str(path)!r}, got none")
    presets: dict[str, PolicySettings] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise PolicyError(f"{path}: {show(name)}: expected an object, got {show(entry)}")
        values = cast(dict[str, Any], entry)
        try:
            base = Policies().settings(str(values.pop("policy", "balanced")), {})
            presets[name] = with_values(base, values)
        except PolicyError as error:
            raise PolicyError(f"{path}: {show(name)}: {error}") from None
    return presets

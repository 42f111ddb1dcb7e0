"""The layout of the live view in a terminal of a given size.

80x24 characters show every part. A smaller terminal drops parts, and in a larger one parts grow. A
plane of latent states, if shown, takes the rows of the trace, the explanation and the log first.
"""

from __future__ import annotations

from dataclasses import dataclass

_LABEL_MIN, _RIGHT, _GAP, _MARGIN = 8, 20, 2, 1
_NARROW = 60  # characters; a narrower line has no right column


@dataclass
class Plan:
    """Rows of each part; `events` takes the rest."""

    strip: int = 1  # per speaker, without its line of marks
    trace: int = 0
    bar: int = 1
    axis: int = 0
    scale: int = 0
    upcoming: int = 0
    plane: int = 0
    explanation: int = 0
    space_above: int = 0  # between the explanation and the strips
    space_middle: int = 0  # between the trace and the question
    space_plane: int = 0  # between the upcoming part and the plane
    space_below: int = 0  # above the events
    events: int = 2

    @property
    def rows(self) -> int:
        """All rows, with the title, two lines of marks, the question and the events' headline."""
        parts = (
            self.trace
            + self.bar
            + self.axis
            + self.scale
            + self.upcoming
            + self.plane
            + self.explanation
        )
        spaces = self.space_above + self.space_middle + self.space_plane + self.space_below
        return 2 * self.strip + parts + spaces + self.events + 5


# (part, additional rows), in order of importance. The first group fills 24 rows.
_GROWTH = (
    *(
        ("scale", 1),
        ("axis", 1),
        ("strip", 1),
        ("explanation", 2),
        ("bar", 1),
        ("trace", 3),
        ("upcoming", 2),
        ("events", 2),
    ),
    *(
        ("space_above", 1),
        ("space_middle", 1),
        ("events", 2),
        ("space_below", 1),
        ("trace", 1),
        ("strip", 1),
        ("events", 2),
        ("trace", 2),
        ("bar", 1),
    ),
)
# The same with a plane. The first group fills 24 rows, too.
_GROWTH_WITH_PLANE = (
    *(
        ("scale", 1),
        ("axis", 1),
        ("plane", 6),
        ("strip", 1),
        ("upcoming", 2),
        ("bar", 1),
        ("plane", 1),
    ),
    *(
        ("explanation", 2),
        ("events", 2),
        ("plane", 2),
        ("space_plane", 1),
        ("space_below", 1),
        ("trace", 3),
        ("plane", 3),
        ("space_above", 1),
    ),
    *(
        ("events", 2),
        ("plane", 3),
        ("space_middle", 1),
        ("trace", 1),
        ("plane", 4),
        ("strip", 1),
        ("plane", 4),
        ("trace", 2),
        ("bar", 1),
        ("plane", 6),
    ),
)
PLANE_COLUMNS = 24  # smallest width of a plane, in characters


def plan_rows(height: int, *, plane: bool = False) -> Plan:
    """Return the plan with the most parts that fits into `height` rows.

    Args:
        height: rows of the terminal. The smallest plan has 10 rows, even if `height` is less.
        plane: add a plane, if there is room for it after the more important parts.
    """
    plan = _grown(_GROWTH_WITH_PLANE, height) if plane else Plan()
    return plan if plan.plane else _grown(_GROWTH, height)


def _grown(growth: tuple[tuple[str, int], ...], height: int) -> Plan:
    plan = Plan()
    for part, more in growth:
        cost = 2 * more if part == "strip" else more
        if plan.rows + cost > height:
            break
        setattr(plan, part, getattr(plan, part) + more)
    plan.events += max(0, height - plan.rows)
    return plan


@dataclass(frozen=True)
class Widths:
    """Widths of the three columns that all charts share, in characters."""

    label: int
    centre: int
    right: int

    @property
    def total(self) -> int:
        """Width of the whole line."""
        return (
            _MARGIN + self.label + self.centre + (_GAP + self.right if self.right else 0) + _MARGIN
        )

    @classmethod
    def of(cls, width: int, names: tuple[str, str]) -> Widths:
        """Return the widths for a line of `width` characters and the names of the speakers."""
        label = max(_LABEL_MIN, 2 + max(map(len, names)))
        right = _RIGHT if width >= _NARROW else 0
        centre = width - 2 * _MARGIN - label - (_GAP + right if right else 0)
        return cls(label, max(8, centre), right)

"""The live view of a conversation in the terminal.

`TerminalView` is a rich renderable without clock, thread or I/O: the same input gives the same
picture. `terminal_screen.py` draws it on the terminal. The two speakers differ in colour (blue and
orange, which colour-blind readers can tell apart), in position and in name. So no information is in
the colour alone.

This file is long because every row is drawn from the same history, plan and newest frame.
"""

from __future__ import annotations

import math
import textwrap
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ..prediction import FrameMessage, Pair, TurnEvent
from ..saved_embedding import SavedEmbedding
from .terminal_history import Columns, History
from .terminal_plan import PLANE_COLUMNS, Plan, Widths, plan_rows
from .terminal_plane import HEADS, TRAIL_S, Float32, Part, TerminalPlane
from .terminal_shapes import bar, clock, column_rows, fit, level_share, percent, threshold_cell
from .terminal_verdict import PauseVerdict, outcome_words, score_line
from .terminal_words import EXPLANATION, MARKS, Names, Tally, event_words

_SPAN_S = 10.0
_SPEAKING = 0.5  # lowest p(speech) of a speaker who is shown as speaking
_KEPT_EVENTS = 500
_COLOURS = ("#4c9be8", "#e69f00")
_QUIET = "grey50"
_PLANE_STYLES: dict[Part, str] = {
    **{"places": "grey30", "word": _QUIET, "user": _COLOURS[0], "other": _COLOURS[1]},
    **{"user_head": f"bold {_COLOURS[0]}", "other_head": f"bold {_COLOURS[1]}"},
}
# If several events share a character, the last of this order is shown.
_MARK_ORDER = (
    "turn_resumed",
    "start_of_turn",
    "eager_end_of_turn",
    "backchannel",
    "end_of_turn",
    "interruption",
)


class TerminalView:
    """The picture of one conversation.

    Args:
        source: name of the audio, such as a file name.
        model_name: name of the model.
        names: names of the user and the other speaker.
        end_threshold: the policy's threshold for the end of a turn; it is marked on the bar.
        end_silence_s: least silence after which the policy ends a turn, in seconds.
        frame_rate_hz: predictions per second.
        session: a short id, or an empty string.
        duration_s: length of the audio in seconds; None if it has no end.
        explanation: one or two lines for a new user.
        embedding: embedding of the latent states, to show their plane, too.
        heard: which speakers have audio. The plane shows only these.
    Attributes:
        tally: counts of what was shown.
        quit_key: whether the key q ends it; the picture says so.
        plane: both speakers' states in the plane; None without `embedding`.
    """

    def __init__(
        self,
        source: str,
        model_name: str,
        *,
        names: Names = ("You", "Other"),
        end_threshold: float = 0.6,
        end_silence_s: float = 0.6,
        frame_rate_hz: float = 50.0,
        session: str = "",
        duration_s: float | None = None,
        explanation: str = EXPLANATION,
        embedding: SavedEmbedding | None = None,
        heard: tuple[bool, bool] = (True, True),
    ) -> None:
        self.source = source
        self.model_name = model_name
        self.names = names
        self.end_threshold = end_threshold
        self.frame_rate_hz = frame_rate_hz
        self.session = session
        self.duration_s = duration_s
        self.explanation = explanation
        self.tally = Tally()
        self.quit_key = False
        self.plane = None if embedding is None else TerminalPlane(embedding, frame_rate_hz, heard)
        self._verdict = PauseVerdict(self.tally.score, end_threshold, end_silence_s)
        self._history = History()
        self._latest: FrameMessage | None = None
        self._levels_dbfs: Pair | None = None
        self._notice: str | None = None
        self._events: deque[TurnEvent] = deque(maxlen=_KEPT_EVENTS)
        self._log: deque[tuple[Text, str]] = deque(maxlen=_KEPT_EVENTS)

    # ---- input ----

    def on_prediction(
        self, p: FrameMessage, latency_s: float | None = None, levels_dbfs: Pair | None = None
    ) -> None:
        """Add the next prediction.

        Args:
            p: the prediction.
            latency_s: its latency in seconds; None if not measured.
            levels_dbfs: levels of the frame's channels, for the score; None if not known.
        """
        self._latest = p
        self._history.add(p)
        self.tally.add_frame(p.time_s, latency_s)
        self._verdict.on_prediction(p, levels_dbfs)

    def on_latents(self, frame: int, states: Float32) -> None:
        """Add both speakers' states after a frame, (2, H), for the plane."""
        if self.plane is not None:
            self.plane.add(frame, states)

    def on_event(self, event: TurnEvent) -> None:
        """Add an event."""
        self._events.append(event)
        self._verdict.on_event(event)
        self.tally.events[event.type] += 1
        mark, _ = MARKS[event.type]
        self._log.append(
            (
                _line(
                    (f"{clock(event.time_s):>7}  ", _QUIET), (f"{mark}  ", _COLOURS[event.speaker])
                ),
                self.words(event),
            )
        )

    def on_warning(self, text: str) -> None:
        """Add a remark about the audio; one line."""
        self._log.append(
            (_line((f"{clock(self.tally.seconds):>7}  ", _QUIET), ("*  ", "bold")), text)
        )

    def on_level(self, levels_dbfs: Pair) -> None:
        """Set the level of each channel, in dB relative to full scale."""
        self._levels_dbfs = levels_dbfs

    def on_notice(self, text: str | None) -> None:
        """Set a short text about a present problem; None when the problem is over."""
        self._notice = text

    def words(self, event: TurnEvent) -> str:
        """Return an event as a sentence."""
        return event_words(event, self.names, self.end_threshold)

    # ---- picture ----

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = Widths.of(options.max_width, self.names)
        plan = plan_rows(
            options.height or console.height,
            plane=self.plane is not None and widths.centre >= PLANE_COLUMNS,
        )
        lines = self.lines(plan, widths)
        for line in lines[: options.height or console.height]:
            line.no_wrap, line.overflow, line.end = True, "crop", "\n"
            yield line

    def lines(self, plan: Plan, widths: Widths) -> list[Text]:
        """Return the whole picture, one `Text` per row."""
        columns = self._history.columns(widths.centre, round(_SPAN_S * self.frame_rate_hz))
        blank = [Text()]
        lines = [self._title(widths.total)]
        lines += self._explanation(widths.total, plan.explanation) + blank * plan.space_above
        for speaker in (0, 1):
            lines += self._speaker(speaker, columns, plan.strip, widths)
        if plan.axis:
            lines.append(self._axis(columns, widths))
        lines += self._trace(columns, plan.trace, widths) + blank * plan.space_middle
        lines += [self._question(widths), *self._shift_bar(plan.bar, widths)]
        if plan.scale:
            lines.append(self._scale(widths))
        if plan.upcoming:
            lines += self._upcoming(widths)
        if self.plane is not None:
            lines += blank * plan.space_plane + self._plane(self.plane, plan.plane, widths)
        lines += blank * plan.space_below
        lines.append(self._headline(widths.total))
        return lines + self._newest_events(plan.events, widths.total)

    def _title(self, width: int) -> Text:
        """The audio's name on the left; on the right the clock, and more as far as it fits."""
        length = "" if self.duration_s is None else f" / {clock(self.duration_s)}"
        latency = self.tally.latency_words
        right = f"{clock(self.tally.seconds)}{length}"
        for part in (
            f"delay {latency}" if latency else "",
            self.model_name,
            f"session {self.session}" if self.session else "",
        ):
            if part and len(right) + len(part) + 3 <= width - 15 - len(self.source):
                right = f"{part} · {right}"
        left = fit(self.source, width - 15 - len(right))
        return _line((" turnstream ", "bold reverse"), (f" {left} ", "bold"), (right, ""))

    def _explanation(self, width: int, rows: int) -> list[Text]:
        """What the user should know; once a pause was scored, its outcome and the score."""
        outcome = self._verdict.outcome
        if outcome is not None:
            told = (f"{outcome_words(outcome, self.names)}.", score_line(self.tally.score))
            style = "bold" if outcome.verdict == "right" else "bold red"
            return [
                Text(f" {fit(line, width - 2)}", style=style if number == 0 else "")
                for number, line in enumerate(told[:rows])
            ] + [Text()] * (rows - len(told))
        lines = (
            textwrap.wrap(self.explanation, width - 2, max_lines=rows, placeholder=" …")
            if rows
            else []
        )
        return [Text(f" {line}", style=_QUIET) for line in lines] + [Text()] * (rows - len(lines))

    def _speaker(self, speaker: int, columns: Columns, rows: int, widths: Widths) -> list[Text]:
        """One speaker's p(speech) over time, and below it a line with the floor and the events."""
        colour, vad = _COLOURS[speaker], columns.vad[speaker]
        styles = [colour if value >= _SPEAKING else _QUIET for value in vad]
        p = self._latest
        speaking = p is not None and p.vad[speaker] >= _SPEAKING
        panel = [Text()] * (rows + 1)
        if p is not None:
            state = "● speaking" if speaking else "○ silent"
            panel[0] = _line(
                (f"{state:<13}", f"bold {colour}" if speaking else _QUIET),
                (f"{percent(p.vad[speaker]):>6}", ""),
            )
            if rows > 1 and self._levels_dbfs is not None:
                panel[1] = _line(
                    ("level ", _QUIET),
                    (
                        bar(level_share(self._levels_dbfs[speaker]), 13),
                        colour if speaking else _QUIET,
                    ),
                )
            if p.holder == speaker:
                panel[-1] = Text("◄ has the floor", style=f"bold {colour}")
        charts = [_cells(chart, styles) for chart in column_rows(vad.tolist(), rows)]
        labels = [Text(self.names[speaker], style=f"bold {colour}")] + [Text()] * rows
        return [
            _row(widths, label, chart, right)
            for label, chart, right in zip(
                labels, [*charts, self._marks(speaker, columns)], panel, strict=True
            )
        ]

    def _marks(self, speaker: int, columns: Columns) -> Text:
        cells = ["━" if holder == speaker else " " for holder in columns.holder]
        styles = [_COLOURS[speaker]] * len(cells)
        own = [event for event in self._events if event.speaker == speaker]
        for event in sorted(own, key=lambda event: _MARK_ORDER.index(event.type)):
            place = (round(event.time_s * self.frame_rate_hz) - 1) // columns.frames - columns.first
            if 0 <= place < len(cells):
                cells[place], styles[place] = MARKS[event.type][0], "bold"
        return _cells("".join(cells), styles)

    def _axis(self, columns: Columns, widths: Widths) -> Text:
        """The time axis: seconds before now, with a label every 2 s."""
        per_second = self.frame_rate_hz / columns.frames
        cells = ["─"] * (widths.centre - 4) + list(" now")
        for second in range(2, int(_SPAN_S) + 1, 2):
            label = f" -{second} s "
            start = round(widths.centre - 1 - second * per_second) - 1
            if start >= 0 and start + len(label) <= widths.centre - 4:
                cells[start : start + len(label)] = label
        return _row(widths, Text(), Text("".join(cells), style=_QUIET), Text())

    def _trace(self, columns: Columns, rows: int, widths: Widths) -> list[Text]:
        """p_shift over time. A column has the colour of the speaker who would get the floor."""
        if not rows:
            return []
        styles = [
            _QUIET if math.isnan(holder) else _COLOURS[1 - int(holder)] for holder in columns.holder
        ]
        charts = column_rows(columns.p_shift.tolist(), rows)
        threshold_row = rows - 1 - threshold_cell(self.end_threshold, rows)
        lines: list[Text] = []
        for row, chart in enumerate(charts):
            if row == threshold_row:
                cells = _cells(
                    chart.replace(" ", "┄"),
                    [
                        _QUIET if mark == " " else style
                        for mark, style in zip(chart, styles, strict=True)
                    ],
                )
            else:
                cells = _cells(chart, styles)
            label = {0: "100 %", rows - 1: "  0 %"}.get(
                row, f"{percent(self.end_threshold):>5}" if row == threshold_row else ""
            )
            right = {0: "◄ chance of a shift", 1: "  in the last 10 s"}.get(row, "")
            lines.append(_row(widths, Text(label, style=_QUIET), cells, Text(right, style=_QUIET)))
        return lines

    def _question(self, widths: Widths) -> Text:
        """One line: in a pause the verdict, else who has the floor, and whether it may shift."""
        verdict = self._verdict.words(self.names)
        if verdict is not None:
            who, word, facts = verdict
            colour = {"DONE": "bold reverse green", "THINKING": "bold reverse magenta"}
            style = colour.get(word, "bold reverse")
            return _line((f" {who} ", ""), (f"  {word}  ", style), (f" {facts}", "bold"))
        p = self._latest
        if p is None or p.holder is None or p.p_shift is None:
            return Text(" Nobody has the floor yet: waiting for the first words ...")
        name, other = self.names[p.holder], self.names[1 - p.holder]
        has, taker = "have" if name == "You" else "has", "you" if other == "You" else other
        outlook = (
            "likely a shift"
            if p.p_shift >= self.end_threshold
            else "likely held"
            if p.p_shift < 0.5
            else "undecided"
        )
        said = _line(
            (f"{name} {has} the floor.", f"bold {_COLOURS[p.holder]}"),
            (" Will it shift to ", ""),
            (f"{taker}?", f"bold {_COLOURS[1 - p.holder]}"),
        )
        space = widths.total - widths.right - 2 - said.cell_len if widths.right else 1
        return _line(
            (" ", ""),
            said,
            (" " * max(1, space), ""),
            (outlook, "bold" if outlook == "likely a shift" else ""),
        )

    def _shift_bar(self, rows: int, widths: Widths) -> list[Text]:
        p = self._latest
        known = p is not None and p.holder is not None and p.p_shift is not None
        p_shift, holder = (
            (p.p_shift, p.holder)
            if p is not None and p.p_shift is not None and p.holder is not None
            else (0.0, 0)
        )
        cells = bar(p_shift, widths.centre, self.end_threshold)
        filled = _COLOURS[1 - holder]
        styles = ["bold" if cell == "┃" else _QUIET if cell == "░" else filled for cell in cells]
        right = _line(("shift ", ""), (percent(p_shift) if known else "", f"bold {filled}"))
        labels, panel = (
            [Text("   held")] + [Text()] * (rows - 1),
            [right, Text("past ▲, a pause", style=_QUIET)][:rows] + [Text()] * (rows - 2),
        )
        return [
            _row(widths, label, _cells(cells, styles), side)
            for label, side in zip(labels, panel, strict=True)
        ]

    def _scale(self, widths: Widths) -> Text:
        """The scale below the bar: its ends and the threshold."""
        place = threshold_cell(self.end_threshold, widths.centre)
        label = f"▲ {percent(self.end_threshold)}"
        cells = list("0 %".ljust(widths.centre - 5) + "100 %")
        cells[place : place + len(label)] = label
        return _row(
            widths,
            Text(),
            Text("".join(cells[: widths.centre]), style=_QUIET),
            Text("ends the turn", style=_QUIET),
        )

    def _upcoming(self, widths: Widths) -> list[Text]:
        """Who will probably speak within 0.6 s and in 0.6-2 s, and the chance of backchannels."""
        p = self._latest
        you, other = self.names
        lines: list[Text] = []
        for row, (when, shares) in enumerate(
            (("Who next? 0-0.6 s", p and p.p_now), ("          0.6-2 s", p and p.p_future))
        ):
            width = widths.label + widths.centre - 20 - len(you) - len(other)
            share = shares[0] if shares else 0.5
            cells = bar(share, max(1, width))
            middle = _line(
                (f"{when:18}", _QUIET),
                (f"{you} ", _COLOURS[0]),
                _cells(cells, [_COLOURS[1] if cell == "░" else _COLOURS[0] for cell in cells]),
                (f" {other}", _COLOURS[1]),
            )
            name = self.names[row]
            chance = "" if p is None else percent(p.p_backchannel[row])
            right = (
                _line(("“mhm”? ", _QUIET), (f"{fit(name, 7)}", _COLOURS[row]), (f"{chance:>5}", ""))
                if widths.right
                else Text()
            )
            lines.append(_line((" ", ""), middle, ("  ", ""), right))
        return lines

    def _plane(self, plane: TerminalPlane, rows: int, widths: Widths) -> list[Text]:
        """The plane with both speakers' paths; beside it the legend and the nearest landmarks."""
        if not rows:
            return []
        picture = plane.picture(widths.centre, rows)
        labels, panel = [Text()] * rows, [Text()] * rows
        for speaker in (0, 1):
            style, nearest = f"bold {_COLOURS[speaker]}", plane.nearest(speaker)
            labels[speaker] = Text(f"{HEADS[speaker]} {self.names[speaker]}", style=style)
            panel[speaker] = Text(
                "not heard"
                if not plane.heard[speaker]
                else ""
                if nearest is None
                else fit(f"near {nearest}", widths.right),
                style=style,
            )
        panel[2:4] = [
            Text("◄ what the model", style=_QUIET),
            Text(f"  had in mind, {TRAIL_S:g} s", style=_QUIET),
        ]
        lines = zip(labels, picture.characters, picture.parts, panel, strict=True)
        return [
            _row(widths, label, _cells(line, _plane_styles(parts)), right)
            for label, line, parts, right in lines
        ]

    def _headline(self, width: int) -> Text:
        if self._notice is not None:
            return _line((" ", ""), (fit(f" ! {self._notice} ", width - 2), "bold reverse"))
        head = " ── events · q quits " if self.quit_key else " ── events "
        legend = "  ".join(f"{mark} {word}" for mark, word in MARKS.values())
        if len(head) + len(legend) + 3 > width:
            legend = ""
        rule = "─" * max(0, width - len(head) - len(legend) - 1 - (2 if legend else 0))
        return Text(f"{head}{rule} {legend + ' ' if legend else ''}", style=_QUIET)

    def _newest_events(self, rows: int, width: int) -> list[Text]:
        """The log, newest first, so that the newest event is always in the same position."""
        lines: list[Text] = []
        for head, words in list(self._log)[: -rows - 1 : -1]:
            style = "" if lines else "bold"
            first, *more = textwrap.wrap(words, max(10, width - 1 - head.cell_len)) or [""]
            lines += [
                _line(head, (first, style)),
                *(Text(" " * head.cell_len + line, style=style) for line in more),
            ]
        return lines[:rows] + [Text()] * (rows - len(lines))


def _line(*parts: tuple[str, str] | Text) -> Text:
    return Text.assemble(*parts)


def _cells(characters: str, styles: Sequence[str]) -> Text:
    """Return text with one style per character; equal styles in a row are joined."""
    runs = groupby(zip(characters, styles, strict=True), key=itemgetter(1))
    return _line(*(("".join(character for character, _ in run), style) for style, run in runs))


def _plane_styles(parts: Sequence[Part]) -> list[str]:
    """Return a style for each character.

    An empty character takes the style of its left neighbour, because every change of style costs
    drawing time.
    """
    styles: list[str] = []
    for part in parts:
        styles.append(_PLANE_STYLES.get(part, styles[-1] if styles else ""))
    return styles


def _row(widths: Widths, label: Text, centre: Text, right: Text) -> Text:
    """Return a line of the three columns."""
    space = " " * max(0, widths.label - label.cell_len)
    return _line(
        (" ", ""), label, (space, ""), centre, ("  ", ""), right if widths.right else Text()
    )

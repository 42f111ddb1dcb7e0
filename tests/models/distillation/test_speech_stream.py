"""The stream of speech for distillation.

The planted teacher gives clip and frame number for each frame, so that every target can be traced
back to its audio.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.channel import Surroundings
from turnstream.models.dialogues.utterances import Utterance, UtterancePool, is_validation_speaker
from turnstream.models.distillation.settings import DistillationSettings
from turnstream.models.distillation.speech_stream import (
    CONTAMINATED_FRAMES,
    FADE_SAMPLES,
    SpeechChunk,
    SpeechStream,
)
from turnstream.models.teachers.extraction import CUT, DIP, END, FRAMES, PAUSE, QUANTUM, Extraction
from turnstream.stream.errors import ConfigError

from ...networks import TINY
from ..teaching import FRAME_SAMPLES, Place, plant

SETTINGS = DistillationSettings(
    batch_rows=2,
    chunk_s=1.0,
    components=4,
    place_components=4,
    gain_db=0.0,
    features=TINY.features,
    encoder=TINY.encoder,
    speaker_rnn=TINY.speaker_rnn,
)
QUIET = dataclasses.replace(SETTINGS, noise_share=0.0, gated_share=0.0)


def numbered(utterance: Utterance, frames: int) -> NDArray[np.int8]:
    at = np.arange(frames)
    return np.stack(
        [np.full(frames, utterance.index), at % 100, at // 100, np.full(frames, 7)], axis=1
    ).astype(np.int8)


def places_of(pool: UtterancePool, kinds: Sequence[int]) -> list[Place]:
    found: list[Place] = []
    for one in pool.utterances:
        inside = one.pauses[0, 1] + 6000 if len(one.pauses) else one.onset + 8000
        at = {
            END: [one.offset],
            PAUSE: one.pauses[:, 0].tolist(),
            DIP: one.dips.tolist(),
            CUT: [one.onset + 7000, int(inside)],
        }
        found += [(one.index, place, kind) for kind in kinds for place in at[kind]]
    return found


@dataclasses.dataclass
class Session:
    """The T frames that one batch row played of one speaker.

    It has the audio (T, 320), the target's clip and frame (T,), which are -1 where there is no
    target, and the rows of places (T,).
    """

    sound: NDArray[np.float32]
    clip: NDArray[np.int64]
    frame: NDArray[np.int64]
    rows: NDArray[np.int64]

    def clips(self) -> list[int]:
        """The clips in the order in which they were played."""
        return list(dict.fromkeys(self.clip[self.clip >= 0].tolist()))

    def at(self, clip: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.clip == clip)

    def start(self, clip: int, delay: int) -> int:
        """Return the frame of the session that has the clip's frame 0."""
        (start,) = np.unique(self.at(clip) - delay - self.frame[self.at(clip)])
        return int(start)


def sessions_of(chunks: Sequence[SpeechChunk], batch_row: int) -> Iterator[Session]:
    """Return the sessions of a batch row that were played to their end."""
    begun = [number for number, chunk in enumerate(chunks) if chunk.begins[batch_row]]
    assert begun[0] == 0
    for first, end in zip(begun, begun[1:], strict=False):
        own = chunks[first:end]
        said = np.round(
            np.concatenate([chunk.frames[batch_row] for chunk in own]) * QUANTUM
        ).astype(np.int64)
        known = np.concatenate([chunk.known[batch_row] for chunk in own])
        assert (said[known, 3] == 7).all()
        yield Session(
            np.concatenate([chunk.audio[batch_row] for chunk in own]).reshape(-1, FRAME_SAMPLES),
            np.where(known, said[:, 0], -1),
            np.where(known, said[:, 1] + 100 * said[:, 2], -1),
            np.concatenate([chunk.stop_points[batch_row] for chunk in own]),
        )


def play(stream: SpeechStream, chunks: int = 120) -> list[Session]:
    played = [stream.next_chunk() for _ in range(chunks)]
    return [
        session
        for batch_row in range(len(played[0].begins))
        for session in sessions_of(played, batch_row)
    ]


@pytest.fixture
def planted(pool: UtterancePool, tmp_path: Path) -> Extraction:
    return plant(tmp_path / "planted", pool, numbered, places_of(pool, (END, PAUSE, DIP, CUT)))


@pytest.mark.parametrize("delay", [0, 10])
def test_the_teachers_frame_is_to_be_said_so_long_after_its_sound(
    delay: int, planted: Extraction, pool: UtterancePool
) -> None:
    compared = 0
    for session in play(
        SpeechStream(planted, dataclasses.replace(QUIET, delay_s=delay / 50), Surroundings())
    ):
        for clip in session.clips():
            at = session.at(clip)
            recorded = pool.audio(pool.utterances[clip])
            recorded = recorded[: len(recorded) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(
                -1, FRAME_SAMPLES
            )[session.frame[at]]
            played = session.sound[at - delay]
            gain = float((played * recorded).sum() / (recorded**2).sum())
            assert np.abs(played - gain * recorded).max() < 1e-5
            late = session.sound[at - delay + 1]
            assert np.abs(late - gain * recorded).max() > 1e-2
            compared += len(at)
    assert compared > 2000


@pytest.mark.parametrize("cut_share", [0.0, 1.0])
def test_nothing_is_known_of_frames_that_have_heard_beyond_a_cut(
    cut_share: float, pool: UtterancePool, tmp_path: Path
) -> None:
    places = places_of(pool, (CUT,))
    planted = plant(tmp_path / "planted", pool, numbered, places)
    played = 0
    for session in play(
        SpeechStream(planted, dataclasses.replace(QUIET, cut_share=cut_share), Surroundings())
    ):
        rows = session.rows[session.rows >= 0]
        for clip in session.clips():
            frames = session.frame[session.at(clip)]
            assert np.array_equal(frames, np.arange(frames[0], frames[-1] + 1))
            if not cut_share:
                assert frames[-1] == pool.samples(pool.utterances[clip]) // FRAME_SAMPLES - 1
                continue
            place = max(places[row][1] for row in rows if places[row][0] == clip)
            assert frames[-1] + 1 == place // FRAME_SAMPLES - CONTAMINATED_FRAMES
            start = FRAME_SAMPLES * session.start(clip, 10) + place
            sound = session.sound.flatten()
            assert not sound[start + FADE_SAMPLES : start + FADE_SAMPLES + 1000].any()
            assert sound[start - 1600 : start].any()
            played += 1
    assert played > 20 or not cut_share


def test_a_place_is_asked_about_from_the_frame_that_ends_there_until_the_silence_ends(
    pool: UtterancePool, tmp_path: Path
) -> None:
    places = places_of(pool, (END, PAUSE, DIP))
    planted = plant(tmp_path / "planted", pool, numbered, places)
    lengths: dict[int, list[int]] = {END: [], PAUSE: [], DIP: []}
    for session in play(
        SpeechStream(planted, dataclasses.replace(QUIET, cut_share=0.0), Surroundings())
    ):
        clips = session.clips()
        for row in np.unique(session.rows[session.rows >= 0]):
            clip, place, kind = places[row]
            utterance, at = pool.utterances[clip], np.flatnonzero(session.rows == row)
            assert np.array_equal(at, np.arange(at[0], at[-1] + 1))
            of_clip = at - session.start(clip, 10)
            assert of_clip[0] * FRAME_SAMPLES < place <= (of_clip[0] + 1) * FRAME_SAMPLES
            lengths[kind].append(len(at))
            if kind == PAUSE:
                ((_, resume),) = utterance.pauses
                assert (
                    (of_clip[-1] + 1) * FRAME_SAMPLES <= resume < (of_clip[-1] + 4) * FRAME_SAMPLES
                )
            following = clips[clips.index(clip) + 1 :][:1] if kind == END else []
            for later in following:
                first = (pool.utterances[later].onset - 1600) // FRAME_SAMPLES
                assert at[-1] < session.start(later, 10) + first
            assert (
                np.sqrt((session.sound[at[1:]] ** 2).mean(axis=1)).max(initial=0)
                < 0.01
                < np.abs(session.sound[at[0] - 5 : at[0]]).max()
            )
    assert set(lengths[DIP]) == {1}
    assert max(lengths[PAUSE]) < 20
    assert min(lengths[END]) < 15  # the next utterance cuts it
    assert max(lengths[END]) == 31  # reach_s


def test_a_cut_place_is_asked_about_in_the_silence_that_follows(
    pool: UtterancePool, tmp_path: Path
) -> None:
    places = places_of(pool, (CUT,))
    planted = plant(tmp_path / "planted", pool, numbered, places)
    lengths: list[int] = []
    for session in play(
        SpeechStream(planted, dataclasses.replace(QUIET, cut_share=1.0), Surroundings())
    ):
        for clip in session.clips():
            own = [
                row for row in np.unique(session.rows[session.rows >= 0]) if places[row][0] == clip
            ]
            counts = [
                int((session.rows == row).sum())
                for row in sorted(own, key=lambda row: places[row][1])
            ]
            assert counts[:-1] == [1] * (len(counts) - 1)  # earlier places take one frame each
            lengths.append(counts[-1])
    assert min(lengths) >= 5
    assert max(lengths) == 31


@pytest.mark.parametrize("gated", [False, True])
def test_some_lines_are_silent_where_nobody_speaks(
    gated: bool, planted: Extraction, pool: UtterancePool
) -> None:
    compared = 0
    for session in play(
        SpeechStream(
            planted,
            dataclasses.replace(QUIET, cut_share=0.0, gated_share=float(gated)),
            Surroundings(),
        ),
        chunks=40,
    ):
        sound = session.sound.flatten()
        for clip in session.clips():
            utterance, zero = pool.utterances[clip], FRAME_SAMPLES * session.start(clip, 10)
            ((pause, resume),) = utterance.pauses.tolist()
            for start, end in (
                (pause, resume),
                (utterance.offset, pool.samples(utterance) // FRAME_SAMPLES * FRAME_SAMPLES),
            ):
                assert sound[zero + start + 1280 : zero + end].any() != gated  # 0.08 s
                assert np.abs(sound[zero + start - 1600 : zero + start]).max() > 0.01
                compared += 1
            assert np.abs(sound[zero + resume : zero + resume + 3200]).max() > 0.01
    assert compared > 10


def assert_same(a: SpeechChunk, b: SpeechChunk, batch_rows: slice) -> None:
    for name, value in vars(a).items():
        assert np.array_equal(value, getattr(b, name)[batch_rows]), name


def test_lanes_divided_among_processes_play_what_they_play_together(
    planted: Extraction, pool: UtterancePool
) -> None:
    settings = dataclasses.replace(SETTINGS, batch_rows=4)
    around = Surroundings(
        rooms=[np.array([1.0, 0.3, 0.1], np.float32)],
        noises=[np.random.default_rng(0).standard_normal(20000).astype(np.float32)],
    )
    whole = SpeechStream(planted, settings, around)
    first, second = (
        SpeechStream(planted, settings, around, batch_rows)
        for batch_rows in (range(2), range(2, 4))
    )
    for _ in range(15):
        together = whole.next_chunk()
        assert_same(first.next_chunk(), together, slice(0, 2))
        assert_same(second.next_chunk(), together, slice(2, 4))
    assert not np.array_equal(together.audio[0], together.audio[1])


def test_the_seed_sets_what_is_played(planted: Extraction) -> None:
    def heard(seed: int) -> NDArray[np.float32]:
        return (
            SpeechStream(planted, dataclasses.replace(SETTINGS, seed=seed), Surroundings())
            .next_chunk()
            .audio
        )

    assert np.array_equal(heard(1), heard(1))
    assert not np.array_equal(heard(1), heard(2))


def test_a_session_is_one_speakers_and_who_is_kept_for_validation_is_never_learned_from(
    planted: Extraction, pool: UtterancePool
) -> None:
    heard: dict[bool, set[str]] = {}
    for validation in (False, True):
        sessions = play(SpeechStream(planted, SETTINGS, Surroundings(), validation=validation))
        by_session = [
            {pool.utterances[clip].speaker for clip in session.clips()} for session in sessions
        ]
        assert all(len(speakers) == 1 for speakers in by_session)
        heard[validation] = set.union(*by_session)
    assert heard[False] | heard[True] == {utterance.speaker for utterance in pool.utterances}
    assert all(is_validation_speaker(speaker) for speaker in heard[True])
    assert not any(is_validation_speaker(speaker) for speaker in heard[False])


def test_a_line_is_kept_for_a_session_and_drawn_anew_for_the_next(planted: Extraction) -> None:
    stream = SpeechStream(planted, SETTINGS, Surroundings())
    chunks = [stream.next_chunk() for _ in range(60)]
    assert chunks[0].line.shape == (2, 16)
    changes = 0
    for before, after in zip(chunks, chunks[1:], strict=False):
        for batch_row in range(2):
            same = (
                np.array_equal(before.line[batch_row], after.line[batch_row])
                and before.warp[batch_row] == after.warp[batch_row]
            )
            assert same != after.begins[batch_row]
            changes += int(after.begins[batch_row])
    assert changes > 5
    assert np.abs(np.log([chunk.warp for chunk in chunks])).max() <= 0.1 + 1e-6


def test_only_clips_that_the_teacher_has_heard_are_played(
    planted: Extraction, pool: UtterancePool
) -> None:
    with (planted.folder / FRAMES).open("r+b") as file:
        file.truncate(4 * int(planted.starts[4]))
    sessions = play(
        SpeechStream(Extraction(planted.folder, pool), SETTINGS, Surroundings()), chunks=40
    )
    heard = {clip for session in sessions for clip in session.clips()}
    assert heard
    assert heard <= set(range(4))


def test_a_teacher_that_has_heard_nobody_yet_is_refused(
    planted: Extraction, pool: UtterancePool
) -> None:
    (planted.folder / FRAMES).write_bytes(b"")
    with pytest.raises(
        ConfigError,
        match=(
            "expected speakers of whom the teacher has heard something, got none; extract more "
            "clips"
        ),
    ):
        SpeechStream(Extraction(planted.folder, pool), SETTINGS, Surroundings())

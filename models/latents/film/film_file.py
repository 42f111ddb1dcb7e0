"""A film's pictures, and the MP4 file (H.264 and AAC, through PyAV) made of them and the sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...dialogues.activity import Samples
from ..views import SOUND_RATE_HZ
from .film_planes import Planes
from .film_strip import Image, Stretch, Strip

PLANES_SHARE = 0.67  # of a picture's height
SOUND_BITS_PER_S = 96_000
BT_709 = 1  # the colours that players take a film to have


def pictures(
    stretch: Stretch,
    times_s: Sequence[float],
    height: int,
    trail_s: float,
    title: str,
    words: str,
) -> Iterator[Image]:
    """Pictures of a stretch, (height, width, 4) of RGBA; the same array again and again.

    Args:
        stretch: what happens in it.
        times_s: of the pictures, in the dialogue, rising.
        height: of the pictures in pixels, even; they are 16:9.
        trail_s: how long a point's path stays; infinite for all of it.
        title, words: to stand above.
    """
    size = picture_size(height)
    upper = round(height * PLANES_SHARE)
    drawn = Planes(stretch, (size[0], upper), trail_s, title, words)
    strip = Strip(stretch, (size[0], height - upper))
    whole = np.empty((height, size[0], 4), np.uint8)
    for time_s in times_s:
        whole[:upper] = drawn.draw(time_s)
        strip.draw(time_s, whole[upper:])
        yield whole


def picture_size(height: int) -> tuple[int, int]:
    """Width and height of pictures, both even."""
    return round(height * 16 / 9 / 2) * 2, height


def write_film(
    path: Path,
    images: Iterable[Image],
    fps: int,
    height: int,
    sound: Samples | None,
    title: str,
    comment: str,
) -> None:
    """Write an MP4 file, whole or not at all; as long as its pictures.

    Args:
        path: to write.
        images: (height, width, 4), RGBA.
        fps, height: of them.
        sound: (2, N) at SOUND_RATE_HZ, or None.
        title, comment: of the file.
    """
    import av
    from av.video.reformatter import Colorspace, VideoReformatter

    part = path.with_name(path.name + ".part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata.update({"title": title, "comment": comment})
            quality = {"preset": "veryfast", "crf": "20"}
            video: Any = container.add_stream("h264", rate=fps, options=quality)
            video.width, video.height = picture_size(height)
            video.pix_fmt = "yuv420p"
            for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
                setattr(video.codec_context, name, BT_709)
            audio: Any = None
            if sound is not None:
                audio = container.add_stream("aac", rate=SOUND_RATE_HZ, layout="stereo")
                audio.bit_rate = SOUND_BITS_PER_S
                sound = np.pad(
                    sound, ((0, 0), (0, SOUND_RATE_HZ))
                )  # the last picture may be longer
            # One frame and one converter for all: making them takes longer than drawing.
            drawn: Any = av.VideoFrame(video.width, height, "rgba")
            rows = np.frombuffer(drawn.planes[0], np.uint8).reshape(height, -1, 4)[:, : video.width]
            converter = VideoReformatter()
            for count, image in enumerate(images):
                rows[:] = image
                frame: Any = converter.reformat(
                    drawn, format="yuv420p", dst_colorspace=Colorspace.ITU709
                )
                frame.pts = count
                container.mux(video.encode(frame))
                if sound is not None:
                    first, last = (round(at * SOUND_RATE_HZ / fps) for at in (count, count + 1))
                    piece = np.ascontiguousarray(sound[:, first:last])
                    samples: Any = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
                    samples.sample_rate, samples.pts = SOUND_RATE_HZ, first
                    container.mux(audio.encode(samples))
            for stream in filter(None, (video, audio)):
                container.mux(stream.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

"""The corpora that `turnstream manifest` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import (
    ami,
    candor,
    fisher,
    harpervalley,
    icsi,
    maptask,
    primock57,
    rttm,
    switchboard,
    textgrid,
)
from .conversation import Recordings
from .folder import CorpusFolder


@dataclass(frozen=True)
class CorpusFormat:
    """Reader and description of one corpus.

    Attributes:
        find: lists its recordings.
        layout: example file names, for the help text.
        licence: "" if the user must look it up.
    """

    find: Callable[[CorpusFolder], Recordings]
    layout: str
    licence: str = ""


CORPORA: dict[str, CorpusFormat] = {
    "switchboard": CorpusFormat(
        switchboard.find,
        "sw02001.sph, sw2001A-ms98-a-word.text, conv_tab.csv",
        "LDC User Agreement",
    ),
    "fisher": CorpusFormat(
        fisher.find, "fe_03_00001.sph, fe_03_00001.txt, fe_03_p1_calldata.tbl", "LDC User Agreement"
    ),
    "maptask": CorpusFormat(
        maptask.find, "q1ec1.mix.wav, q1ec1.g.timed-units.xml, q1ec1.f.timed-units.xml"
    ),
    "candor": CorpusFormat(
        candor.find,
        "ID/processed/ID.mp3, ID/processed/channel_map.json, "
        "ID/transcription/transcript_audiophile.csv",
    ),
    "ami": CorpusFormat(
        ami.find, "ES2002a.Headset-0.wav, ES2002a.A.words.xml, meetings.xml", "CC BY 4.0"
    ),
    "icsi": CorpusFormat(
        icsi.find,
        "Bmr001/chan0.wav, Bmr001.A.words.xml, Bmr001.A.segs.xml, Bmr001.mrt",
        "CC BY 4.0",
    ),
    "harpervalley": CorpusFormat(
        harpervalley.find,
        "audio/caller/SID.wav, audio/agent/SID.wav, transcript/SID.json, metadata/SID.json",
        "CC BY 4.0",
    ),
    "primock57": CorpusFormat(
        primock57.find,
        "day1_consultation01_doctor.wav, ..._doctor.TextGrid, and ..._patient",
        "CC BY 4.0",
    ),
    "rttm": CorpusFormat(
        rttm.find, "NAME.wav stereo or NAME_SPEAKER.wav twice, and any .rttm that names them"
    ),
    "textgrid": CorpusFormat(
        textgrid.find,
        "NAME.wav stereo or NAME_TIER.wav twice, and NAME.TextGrid with two interval tiers",
    ),
}

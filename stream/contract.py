"""The contract between the exporter and the runtime: format version, output names and meanings.

This is the one list of the outputs. It imports no torch, so that the runtime can use it. They are
the network's own: in a conversation with a pause model, `p_next` is changed in the pauses
(pause_tracker.py).
"""

METADATA_KEY = "turnstream"  # key in the ONNX file's metadata; the value is a JSON object
FORMAT_VERSION = 1

LABELS = {
    "vad": "probability that each speaker is speaking in this frame",
    "p_now": (
        "share of the speech of the near future (the projection's first two bins) "
        "expected from each speaker; sums to 1"
    ),
    "p_future": (
        "share of the speech of the future after that (the projection's last two bins) "
        "expected from each speaker; sums to 1"
    ),
    "p_next": (
        "probability that each speaker holds the floor next; sums to 1; "
        "p_shift = p_next of the speaker who does not hold it"
    ),
    "p_backchannel": (
        "probability that each speaker is, or within 0.5 s will be, giving a backchannel"
    ),
    "latent": "cross-speaker RNN's output, one row per speaker",
    "latent_speaker": "per-speaker RNN's output, one row per speaker",
    "next_state": "state to hand to the next step",
}
PROBABILITIES = ("vad", "p_now", "p_future", "p_next", "p_backchannel")  # one per speaker and frame

# Seconds of audio that a restored session may hold. A damaged snapshot must not take all memory.
MAX_RESTORED_BUFFER_S = 60.0

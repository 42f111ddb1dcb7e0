"""Step an exported file with nothing but numpy and ONNX Runtime: python step_example.py MODEL.onnx 16_KHZ_STEREO.wav

Everything a program in any language must do: read the metadata, keep one state vector, feed 20 ms at a time.
"""

import json
import sys
import wave

import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["turnstream"])
size = about["frame_samples"]  # 320 samples at 16 kHz

with wave.open(sys.argv[2]) as file:
    assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 2, 2), (
        "expected 16 kHz, stereo, 16 bit"
    )
    pcm = (
        np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T.astype(np.float32)
        / 32768
    )  # (2, N)

state = np.zeros((1, about["state"]["size"]), np.float32)  # before anything was heard
for start in range(0, pcm.shape[1] - size + 1, size):
    audio = np.ascontiguousarray(
        pcm[None, :, start : start + size]
    )  # (1, 2, 320), channel 0 is the user
    p_next, vad, state = session.run(
        ["p_next", "vad", "next_state"], {"audio": audio, "state": state}
    )
    print(
        f"{(start + size) / about['sample_rate_hz']:.2f} s  speaking {vad[0].round(2)}  holds the floor next {p_next[0].round(2)}"
    )

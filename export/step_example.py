"""Run an exported model frame by frame with only numpy and ONNX Runtime.

Usage: python step_example.py MODEL.onnx 16_KHZ_STEREO.wav
"""

import json
import sys
import wave

import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["turnstream"])
size = about["frame_samples"]  # 320 samples: 20 ms at 16 kHz

with wave.open(sys.argv[2]) as file:
    wav_format = (file.getframerate(), file.getnchannels(), file.getsampwidth())
    assert wav_format == (16000, 2, 2), "expected 16 kHz, stereo, 16 bit"
    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
pcm = samples.T.astype(np.float32) / 32768  # (2, N) in [-1, 1); channel 0 is the user
state = np.zeros((1, about["state"]["size"]), np.float32)  # the state before the first frame

for start in range(0, pcm.shape[1] - size + 1, size):
    audio = np.ascontiguousarray(pcm[None, :, start : start + size])  # (1, 2, 320)
    inputs = {"audio": audio, "state": state}
    p_next, vad, state = session.run(["p_next", "vad", "next_state"], inputs)
    time_s = (start + size) / about["sample_rate_hz"]
    print(f"{time_s:.2f} s  speaking {vad[0].round(2)}  holds the floor next {p_next[0].round(2)}")

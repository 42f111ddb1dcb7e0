"""Steps an exported model 20 ms at a time, with only numpy and ONNX Runtime.

Usage: python step_model.py MODEL.onnx RECORDING.wav

The recording is 16 kHz, stereo, 16 bit; the first channel is the user. Prints columns of
`turnstream predict` as CSV. step_model.mjs is the same program in JavaScript.
"""

import json
import sys
import wave

import numpy as np
import onnxruntime as ort

if len(sys.argv) != 3:
    sys.exit(__doc__)
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["turnstream"])
size, rate_hz = about["frame_samples"], about["sample_rate_hz"]  # 320 samples, 16 kHz

with wave.open(sys.argv[2]) as file:
    wav_format = (file.getnchannels(), file.getframerate(), 8 * file.getsampwidth())
    if wav_format != (2, rate_hz, 16):
        sys.exit(f"expected 2 channels, {rate_hz} Hz, 16 bit; got {str(wav_format)[1:-1]}")
    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
pcm = samples.T.astype(np.float32) / 32768  # (2, N) in [-1, 1)

state = np.zeros((1, about["state"]["size"]), np.float32)  # before the first frame
active, alone, holder = [False, False], 0, None
print("time_s,holder,p_shift,vad_0,vad_1")
for end in range(size, pcm.shape[1] + 1, size):
    audio = np.ascontiguousarray(pcm[None, :, end - size : end])  # (1, 2, 320)
    inputs = {"audio": audio, "state": state}
    (vad,), (p_next,), state = session.run(["vad", "p_next", "next_state"], inputs)
    before, active = active, [bool(vad[i] >= (0.35 if active[i] else 0.5)) for i in (0, 1)]
    alone = alone if active == before and active[0] != active[1] else 0
    if active[0] != active[1] and audio[0, active.index(True)].std() >= 0.001:  # -60 dBFS
        alone += 1
    holder = active.index(True) if alone >= 5 else holder  # the last who spoke alone for 0.1 s
    shift = ["", ""] if holder is None else [holder, f"{p_next[1 - holder]:.5f}"]
    print(f"{end / rate_hz:.2f}", *shift, f"{vad[0]:.5f}", f"{vad[1]:.5f}", sep=",")

// Runs in the audio thread: hands on what flows through it in interleaved blocks. Nothing is handed
// on while no source plays.

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { channels, blockSamples, firstSamples } }) {
    super();
    this._channels = channels;
    this._blockSamples = blockSamples;
    this._startBlock(firstSamples);
    // Whatever is asked, the unfinished block is handed on.
    this.port.onmessage = () => this._post(true);
  }

  process([input]) {
    if (input.length === 0) return true;
    for (let i = 0; i < input[0].length; i++) {
      for (let channel = 0; channel < this._channels; channel++) {
        this._block[this._filled++] = input[channel][i];
      }
      if (this._filled === this._block.length) this._post(false);
    }
    return true;
  }

  _startBlock(samples) {
    this._block = new Float32Array(samples * this._channels);
    this._filled = 0;
  }

  _post(asked) {
    const block = this._block.subarray(0, this._filled);
    this.port.postMessage({ block, asked }, [block.buffer]);
    this._startBlock(this._blockSamples);
  }
}

registerProcessor("turnstream-capture", Capture);

// Converts a live stream to the model's sample rate: the same filter as stream/resample.py, which
// says where it comes from and why it is not soxr.

export const MIN_RATE_HZ = 8000;
export const MAX_RATE_HZ = 192_000;

const ZERO_CROSSINGS = 32; // on each side of the filter
const CUTOFF = 0.92; // of the lower rate's Nyquist frequency
const KAISER_BETA = 0.1102 * (80 - 8.7); // Kaiser 1974, 80 dB
const MAX_TABLE = 1 << 18; // taps; awkward ratios use the nearest phase in the table

/**
 * Changes the sample rate of a stream. It takes blocks of any size, and the output does not depend
 * on how the input was cut, not even in the last bit.
 *
 * A block is an array with one Float32Array for each channel. Output sample j has the time of input
 * sample j * inputRate / outputRate. With equal rates `push` returns its argument.
 */
export class StreamingResampler {
  /**
   * @param {number} inputRate Hz, an integer from 8000 to 192000
   * @param {number} outputRate Hz, likewise
   * @param {number} channels of every block
   */
  constructor(inputRate, outputRate, channels) {
    checkRate("inputRate", inputRate);
    checkRate("outputRate", outputRate);
    const divisor = greatestCommonDivisor(inputRate, outputRate);
    this._up = outputRate / divisor;
    this._down = inputRate / divisor;
    this._isIdentity = inputRate === outputRate;
    this._half = Math.ceil(ZERO_CROSSINGS * Math.max(1, inputRate / outputRate));
    this._taps = 2 * this._half;
    this._phaseCount = Math.min(this._up, Math.floor(MAX_TABLE / this._taps));
    if (!this._isIdentity) {
      this._table = phaseTable(inputRate, outputRate, this._phaseCount, this._half);
    }
    this._channels = channels;
    this.reset();
  }

  /** Return to the state before the first sample: all earlier input counts as silence. */
  reset() {
    // The next output needs the first taps of these inputs. It lies fraction / up of a sample after
    // the middle one.
    const before = this._isIdentity ? 0 : this._half - 1;
    this._inputs = Array.from({ length: this._channels }, () => new Float32Array(before));
    this._fraction = 0;
  }

  /** Add a block; returns the output samples that are now complete, as a block. */
  push(block) {
    if (this._isIdentity) return block;
    const inputs = this._inputs.map((kept, channel) => joined(kept, block[channel]));
    const complete = (inputs[0].length - this._taps + 1) * this._up - this._fraction;
    const count = Math.max(0, Math.ceil(complete / this._down));
    const outputs = inputs.map((row) => this._filter(row, count));
    const position = this._fraction + count * this._down;
    this._inputs = inputs.map((row) => row.slice(Math.floor(position / this._up)));
    this._fraction = position % this._up;
    return outputs;
  }

  /** End the stream: returns the remaining output samples, after which silence is read. */
  flush() {
    const silence = new Float32Array(this._isIdentity ? 0 : this._half);
    const owed = this.push(this._inputs.map(() => silence));
    this.reset();
    return owed;
  }

  /** Each output is one dot product of a window of inputs with one phase of the filter. */
  _filter(inputs, count) {
    const [up, taps, table] = [this._up, this._taps, this._table];
    const outputs = new Float32Array(count);
    for (let j = 0; j < count; j++) {
      const position = this._fraction + j * this._down;
      const start = Math.floor(position / up);
      const fraction = position - start * up;
      const phase = Math.floor((2 * fraction * this._phaseCount + up) / (2 * up));
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += inputs[start + tap] * table[phase * taps + tap];
      outputs[j] = sum;
    }
    return outputs;
  }
}

/** Throw a RangeError if a sample rate is no integer from 8000 to 192000. */
export function checkRate(name, rate) {
  if (!Number.isInteger(rate) || rate < MIN_RATE_HZ || rate > MAX_RATE_HZ) {
    const range = `${MIN_RATE_HZ} to ${MAX_RATE_HZ} Hz`;
    throw new RangeError(`${name}: expected an integer from ${range}, got ${rate}`);
  }
}

/** Filter taps for each phase, one row of 2 * half taps after the other. */
function phaseTable(inputRate, outputRate, phaseCount, half) {
  const cutoff = CUTOFF * Math.min(1, outputRate / inputRate); // of the input's Nyquist frequency
  const table = new Float32Array((phaseCount + 1) * 2 * half);
  const row = new Float64Array(2 * half);
  for (let phase = 0; phase <= phaseCount; phase++) {
    let sum = 0;
    for (let tap = 0; tap < 2 * half; tap++) {
      const offset = phase / phaseCount - (tap + 1 - half);
      const window = besselI0(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (offset / half) ** 2)));
      row[tap] = sinc(cutoff * offset) * window;
      sum += row[tap];
    }
    // A constant stays constant in every phase.
    for (let tap = 0; tap < 2 * half; tap++) table[phase * 2 * half + tap] = row[tap] / sum;
  }
  return table;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Modified Bessel function of the first kind and order 0, by its power series. */
function besselI0(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function joined(first, second) {
  const both = new Float32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

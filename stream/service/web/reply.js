// The page's own short answer in “Talk to it”: a voice of the browser, or where there is none a few
// soft tones made here.

const PHRASES = [
  "I see. Please tell me more about that, whenever you like.",
  "All right, I have understood that. What comes next?",
  "Okay, thank you. Is there anything else that I should know?",
];
const TONES_HZ = [392, 440, 330, 392, 294]; // a murmur of 2.5 s
const TONE_S = 0.5;
const LOUDNESS = 0.12;

export class Reply {
  constructor() {
    this.onchange = () => {}; // it has begun or ended
    this._said = 0;
    this._stop = null; // ends what is being said; null in silence
    this._startedAt = 0;
  }

  get isSpeaking() {
    return this._stop !== null;
  }

  /** Seconds for which it has been speaking; 0 in silence. */
  get spoken_s() {
    return this.isSpeaking ? (performance.now() - this._startedAt) / 1000 : 0;
  }

  /** @param {AudioContext} context for the tones */
  start(context) {
    if (this.isSpeaking) return;
    const phrase = PHRASES[this._said++ % PHRASES.length];
    const hasVoice = (globalThis.speechSynthesis?.getVoices().length ?? 0) > 0;
    this._startedAt = performance.now();
    this._stop = hasVoice ? this._speak(phrase) : this._hum(context);
    this.onchange();
  }

  stop() {
    this._stop?.();
    this._ended();
  }

  _ended() {
    if (this._stop === null) return;
    this._stop = null;
    this.onchange();
  }

  _speak(phrase) {
    const utterance = new SpeechSynthesisUtterance(phrase);
    utterance.lang = "en";
    utterance.onstart = () => { this._startedAt = performance.now(); };
    const stop = () => speechSynthesis.cancel();
    utterance.onend = utterance.onerror = () => { if (this._stop === stop) this._ended(); };
    speechSynthesis.speak(utterance);
    return stop;
  }

  _hum(context) {
    const gain = new GainNode(context, { gain: 0 });
    const tone = new OscillatorNode(context, { type: "triangle" });
    tone.connect(gain).connect(context.destination);
    const start = context.currentTime;
    TONES_HZ.forEach((hertz, number) => {
      const at = start + number * TONE_S;
      tone.frequency.setValueAtTime(hertz, at);
      gain.gain.setTargetAtTime(LOUDNESS, at, 0.03);
      gain.gain.setTargetAtTime(0, at + 0.7 * TONE_S, 0.03);
    });
    const stop = () => tone.stop();
    tone.onended = () => { if (this._stop === stop) this._ended(); };
    tone.start(start);
    tone.stop(start + TONES_HZ.length * TONE_S);
    return stop;
  }
}

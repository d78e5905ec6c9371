/* The telephone's sound, as pure functions: no browser in here, so worklets and node can import it alike.

   Samples are floats, -1 … 1, unless named otherwise. The line runs at 8 kHz, G.711 μ-law (ITU-T G.711, table 2). */

export const LINE_RATE = 8000;
export const FRAME = 160;
export const FRAME_MS = 20;
/** What μ-law calls silence. */
export const SILENCE = 0xff;

// --- G.711 μ-law ------------------------------------------------------------------------------------------------

const BIAS = 132;
const CLIP = 32635;

/** One byte of 16-bit PCM, an integer; ties as in the G.191 software tool library. */
export function ulawEncode(pcm) {
  const sign = pcm < 0 ? 0x80 : 0;
  const magnitude = Math.min(pcm < 0 ? ~pcm : pcm, CLIP) + BIAS;
  const exponent = 24 - Math.clz32(magnitude); // the bias puts the highest bit at 7 … 14
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~(sign | (exponent << 4) | mantissa) & 0xff;
}

/** 16-bit PCM of one byte. */
export function ulawDecode(byte) {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 0x0f) << 3) + BIAS) << ((code >> 4) & 7)) - BIAS;
  return code & 0x80 ? 0 - magnitude : magnitude;
}

const DECODED = Float32Array.from({ length: 256 }, (_, byte) => ulawDecode(byte) / 32768);

/** Float of one byte. */
export const ulawToFloat = (byte) => DECODED[byte];

/** Byte of one float; what is too loud is clipped. */
export const floatToUlaw = (x) => ulawEncode(Math.max(-32768, Math.min(32767, Math.round(x * 32768))));

// --- from one rate to another -----------------------------------------------------------------------------------

/** The telephone's band: up to PASS_HZ unharmed, from STOP_HZ gone by STOP_DB. */
export const PASS_HZ = 3400;
export const STOP_HZ = 4000;
const STOP_DB = 65;

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel0(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

/** A polyphase FIR between two rates, one of them the line's: windowed sinc, Kaiser's formulas for its length and
    window. It keeps the telephone's band, so it does not alias downwards and leaves no images upwards. Feed samples,
    and take what is ready:

        r.feed(x); while (r.ready) out.push(r.next());

    Its delay is `delayMs`, constant; every input is answered by to/from outputs at once. */
export class Resampler {
  constructor(from, to) {
    const common = gcd(from, to);
    this.phases = to / common;
    this.step = from / common;
    const seconds = (STOP_DB - 7.95) / (14.36 * (STOP_HZ - PASS_HZ));
    this.taps = Math.ceil(seconds * from);
    this.delayMs = (this.taps * 500) / from;
    this.filter = design(this.taps, this.phases, from * this.phases);
    this.history = new Float32Array(2 * this.taps); // each sample twice, so that any `taps` of them lie in a row
    this.newest = 0;
    this.ahead = this.phases; // of the next output before the newest input, in `phases` of a sample
  }

  get ready() {
    return this.ahead < this.phases;
  }

  feed(sample) {
    this.newest = this.newest ? this.newest - 1 : this.taps - 1;
    this.history[this.newest] = this.history[this.newest + this.taps] = sample;
    this.ahead -= this.phases;
  }

  next() {
    const { taps, history, filter, newest } = this;
    const row = this.ahead * taps;
    let sum = 0;
    for (let k = 0; k < taps; k++) sum += filter[row + k] * history[newest + k];
    this.ahead += this.step;
    return sum;
  }
}

/** Rows of coefficients, one a phase, each of unity gain at 0 Hz; `rate` is that of the prototype. */
function design(taps, phases, rate) {
  const length = taps * phases;
  const middle = (length - 1) / 2;
  const cut = (PASS_HZ + STOP_HZ) / rate; // of half the rate
  const beta = 0.1102 * (STOP_DB - 8.7);
  const filter = new Float32Array(length);
  for (let phase = 0; phase < phases; phase++) {
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const x = k * phases + phase - middle;
      const sinc = x ? Math.sin(Math.PI * cut * x) / (Math.PI * x) : cut;
      const window = bessel0(beta * Math.sqrt(Math.max(0, 1 - (x / (middle + 1)) ** 2)));
      sum += filter[phase * taps + k] = sinc * window;
    }
    for (let k = 0; k < taps; k++) filter[phase * taps + k] /= sum;
  }
  return filter;
}

// --- the caller's side ------------------------------------------------------------------------------------------

/** Microphone samples in, whole frames of μ-law out: `push(samples, frame => …)`. A frame is
    `{payload: Uint8Array(160), level: 0 … 1 (RMS)}`; a muted one is silence, and still a frame. */
export class Framer {
  constructor(rate) {
    this.resampler = new Resampler(rate, LINE_RATE);
    this.muted = false;
    this.start();
  }

  start() {
    this.payload = new Uint8Array(FRAME);
    this.filled = 0;
    this.power = 0;
  }

  push(samples, emit) {
    for (const sample of samples) {
      this.resampler.feed(sample);
      while (this.resampler.ready) {
        const x = this.resampler.next();
        this.power += x * x;
        this.payload[this.filled++] = this.muted ? SILENCE : floatToUlaw(x);
        if (this.filled === FRAME) {
          emit({ payload: this.payload, level: this.muted ? 0 : Math.sqrt(this.power / FRAME) });
          this.start();
        }
      }
    }
  }
}

// --- the bot's side ---------------------------------------------------------------------------------------------

const CUSHION = 320; // 40 ms gathered before playing begins, or waited for in vain
const RAMP = 40; // 5 ms to fade in and out
const ROOM = 30 * LINE_RATE;

/** What the bot says, in the order it came, with the marks between. Rings of 8 kHz samples; full (30 s wait), it drops
    what comes. `next()` gives the sample that is due, `played()` the names of the marks that have been passed since.

    A mark is passed when the sample before it has left the loudspeaker: `delay` samples after it was taken. */
export class Playout {
  constructor(delay = 0) {
    this.ring = new Float32Array(ROOM);
    this.delay = delay;
    this.written = this.read = this.ticks = 0;
    this.marks = []; // {name, at}: waiting for the sample before `at`
    this.leaving = []; // {name, due}: that sample is on its way out
    this.playing = false;
    this.waited = 0;
    this.gain = 0;
    this.last = 0;
  }

  get waiting() {
    return this.written - this.read;
  }

  /** μ-law bytes, any number. */
  write(bytes) {
    const count = Math.min(bytes.length, ROOM - this.waiting);
    for (let i = 0; i < count; i++) this.ring[this.written++ % ROOM] = ulawToFloat(bytes[i]);
  }

  mark(name) {
    this.marks.push({ name, at: this.written });
    this.pass();
  }

  /** Drop what waits. The names of all marks still out, which come back at once. */
  clear() {
    this.read = this.written;
    const names = [...this.leaving, ...this.marks].map((mark) => mark.name);
    this.leaving = [];
    this.marks = [];
    return names;
  }

  /** The next sample: of the bot, or silence, never a click between the two. */
  next() {
    this.ticks++;
    if (!this.waiting) {
      this.playing = false;
      this.waited = 0;
    } else if (!this.playing) this.playing = this.waiting >= CUSHION || this.waited++ >= CUSHION;
    if (this.playing) {
      this.gain = Math.min(1, this.gain + 1 / RAMP);
      this.last = this.ring[this.read++ % ROOM];
      this.pass();
    } else this.gain = Math.max(0, this.gain - 1 / RAMP);
    return this.last * this.gain;
  }

  pass() {
    while (this.marks.length && this.marks[0].at <= this.read)
      this.leaving.push({ name: this.marks.shift().name, due: this.ticks + this.delay });
  }

  played() {
    const names = [];
    while (this.leaving.length && this.leaving[0].due <= this.ticks) names.push(this.leaving.shift().name);
    return names;
  }
}

// --- bytes in JSON ----------------------------------------------------------------------------------------------

export const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));

export const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

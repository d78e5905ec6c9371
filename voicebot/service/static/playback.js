/* The loudspeaker's worklet. Takes `{audio}` (μ-law bytes), `{mark}`, `{clear}` and `{latencyMs}` (from here to the
   ear); tells `{played: [mark, …]}`. */
import { LINE_RATE, Playout, Resampler } from "./dsp.js";

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(LINE_RATE, sampleRate);
    this.playout = new Playout();
    this.latency(0);
    this.port.onmessage = ({ data }) => this.take(data);
  }

  latency(ms) {
    this.playout.delay = Math.round(((this.resampler.delayMs + ms) * LINE_RATE) / 1000);
  }

  take({ audio, mark, clear, latencyMs }) {
    if (audio) this.playout.write(audio);
    if (mark !== undefined) this.playout.mark(mark);
    if (clear) this.tell(this.playout.clear());
    if (latencyMs !== undefined) this.latency(latencyMs);
  }

  tell(played) {
    if (played.length) this.port.postMessage({ played });
  }

  process(_, [output]) {
    const { resampler, playout } = this;
    const first = output[0];
    for (let i = 0; i < first.length; i++) {
      while (!resampler.ready) resampler.feed(playout.next());
      first[i] = resampler.next();
    }
    for (let channel = 1; channel < output.length; channel++) output[channel].set(first);
    this.tell(playout.played());
    return true;
  }
}

registerProcessor("playback", Playback);

/* The microphone's worklet: context rate in, frames of 20 ms of μ-law out, by `port`. Takes `{muted}`. */
import { Framer } from "./dsp.js";

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.framer = new Framer(sampleRate);
    this.silence = new Float32Array(128);
    this.port.onmessage = ({ data }) => (this.framer.muted = data.muted);
  }

  process([input]) {
    const samples = input[0] ?? this.silence; // a microphone without samples is silent, and time goes on
    this.framer.push(samples, (frame) => this.port.postMessage(frame, [frame.payload.buffer]));
    return true;
  }
}

registerProcessor("capture", Capture);

/* One call: microphone ▶ worklet ▶ websocket ▶ worklet ▶ loudspeaker. The page plays the carrier's part of Twilio's
   Media Streams, with its messages. */
import { FRAME_MS, fromBase64, toBase64 } from "./dsp.js";

const START_S = 10; // until the service has answered, at each step
const BACKLOG = 32 * 1024; // bytes that may wait for the socket: two seconds of audio
const GOODBYE_MS = 300;

/** Why a call did not come about, or did not last: `kind` is a word of the page's list. */
export class Trouble extends Error {
  constructor(kind, detail = "") {
    super(detail || kind);
    this.kind = kind;
  }
}

/** JSON from the service; a `Trouble` where it refuses. */
export async function ask(path, token, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { headers, signal: AbortSignal.timeout(START_S * 1000) };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Trouble("unreachable");
  }
  if (response.ok) return response.json();
  const detail = await response.json().then((answer) => answer.detail, () => "");
  const kind = { 401: "token", 503: "busy" }[response.status] ?? "refused";
  throw new Trouble(kind, typeof detail === "string" ? detail : "");
}

const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
const REFUSALS = { NotAllowedError: "microphone_refused", SecurityError: "microphone_refused" };

async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
  } catch (error) {
    throw new Trouble(REFUSALS[error.name] ?? "microphone_missing");
  }
}

const id = (prefix) =>
  prefix + Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A call to `dialplan`. `tell` hears what happens, as one function each:

    ringing() · answered() · record(record) · level(0 … 1) · transfer(to) · ended(reason) · failed(trouble)

    The last is `ended` or `failed`, once. */
export class Call {
  constructor(dialplan, token, tell) {
    Object.assign(this, { dialplan, token, tell });
    this.streamSid = id("MZ");
    this.sequence = 0;
    this.frames = 0;
    this.over = this.muted = false;
    this.reason = "";
    this.run();
  }

  async run() {
    try {
      this.context = new AudioContext({ latencyHint: "interactive" }); // at once: a click is what allows sound
      await this.step(this.wire());
      const { token } = await this.step(ask("/browser/call", this.token, { dialplan: this.dialplan }));
      this.connect(token);
    } catch (error) {
      if (!this.over) this.finish("failed", error instanceof Trouble ? error : new Trouble("broken", String(error)));
    }
  }

  /** What was waited for; thrown away where the caller has hung up meanwhile. */
  async step(promise) {
    const value = await promise;
    if (this.over) throw new Trouble("over");
    return value;
  }

  async wire() {
    const { context } = this;
    if (!navigator.mediaDevices || !context.audioWorklet) throw new Trouble("insecure");
    const [stream] = await Promise.all([
      microphone().then((stream) => this.keep(stream)),
      context.audioWorklet.addModule("/static/capture.js"),
      context.audioWorklet.addModule("/static/playback.js"),
    ]);
    if (this.over) return;
    context.resume().catch(() => {}); // where it never runs, no audio comes, and the service ends the call
    this.tell.ringing();
    this.capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    this.mute(this.muted);
    this.capture.port.onmessage = ({ data }) => this.frame(data);
    context.createMediaStreamSource(stream).connect(this.capture);
    this.playback = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.playback.port.onmessage = ({ data }) => data.played.forEach((name) => this.send("mark", { name }));
    this.playback.connect(context.destination);
  }

  keep(stream) {
    this.microphone = stream;
    if (this.over) this.silence();
    stream.getAudioTracks()[0]?.addEventListener("ended", () => {
      if (!this.over) this.finish("failed", new Trouble("microphone_missing"));
    });
    return stream;
  }

  // --- the socket

  connect(token) {
    const socket = (this.socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/browser/stream`));
    this.patience = setTimeout(() => socket.close(), START_S * 1000);
    socket.onopen = () => {
      clearTimeout(this.patience);
      socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
      this.send("start", {
        accountSid: "",
        streamSid: this.streamSid,
        callSid: id("CA"),
        tracks: ["inbound"],
        mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
        customParameters: { token },
      });
      this.started = true;
    };
    socket.onmessage = ({ data }) => this.over || this.receive(JSON.parse(data));
    socket.onclose = (event) => this.closed(event);
  }

  /** One of Twilio's messages: `event` names its part, too. */
  send(event, part) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const message = { event, sequenceNumber: String(++this.sequence), streamSid: this.streamSid };
    if (part) message[event] = part;
    this.socket.send(JSON.stringify(message));
  }

  /** A frame of the microphone. What the network cannot take is left out; its time passes all the same. */
  frame({ payload, level }) {
    this.tell.level(level);
    if (!this.started || this.over) return;
    const timestamp = String(this.frames++ * FRAME_MS);
    if (this.socket.bufferedAmount > BACKLOG) return;
    this.send("media", { track: "inbound", chunk: String(this.frames), timestamp, payload: toBase64(payload) });
  }

  receive(message) {
    switch (message.event) {
      case "media": {
        this.answer();
        const audio = fromBase64(message.media.payload);
        this.playback.port.postMessage({ audio }, [audio.buffer]);
        break;
      }
      case "mark":
        this.playback.port.postMessage({ mark: message.mark.name });
        break;
      case "clear":
        this.playback.port.postMessage({ clear: true });
        break;
      case "record":
        this.tell.record(message.record);
        break;
      case "transfer":
        this.tell.transfer(message.to);
        break;
      case "ended":
        this.reason = message.reason;
        break;
    }
  }

  /** The first audio: somebody is there. */
  answer() {
    if (this.answered) return;
    this.answered = true;
    const { context, playback } = this;
    playback.port.postMessage({ latencyMs: Math.min(500, 1000 * (context.outputLatency || context.baseLatency || 0)) });
    this.tell.answered();
  }

  closed({ code, reason }) {
    clearTimeout(this.patience);
    if (this.over) return;
    if (this.reason) this.finish("ended", this.reason);
    else if (!this.started) this.finish("failed", new Trouble("no_websocket"));
    else if (code === 1013) this.finish("failed", new Trouble("busy", reason));
    else if (code === 1008) this.finish("failed", new Trouble("refused", reason));
    else this.finish("ended", "media_lost");
  }

  // --- the caller's hand

  press(digit) {
    this.send("dtmf", { track: "inbound_track", digit });
  }

  mute(muted) {
    this.muted = muted;
    this.capture?.port.postMessage({ muted });
  }

  hangUp() {
    if (this.over) return;
    this.send("stop", { accountSid: "", callSid: "" });
    this.finish("ended", "caller_hangup");
  }

  finish(how, why) {
    this.over = true;
    clearTimeout(this.patience);
    this.socket?.close(1000);
    this.silence(why === "caller_hangup" ? 0 : GOODBYE_MS);
    this.tell[how](why);
  }

  /** Give microphone and loudspeaker back; the loudspeaker when it has let out what it holds. */
  silence(afterMs = 0) {
    this.microphone?.getTracks().forEach((track) => track.stop());
    const { context } = this;
    if (context && context.state !== "closed") setTimeout(() => context.state !== "closed" && context.close(), afterMs);
  }
}

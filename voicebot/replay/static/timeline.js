/* The picture of a call: two waveforms with turns, words and events over them, drawn for the part that is in view. */
const COLOURS = { barge_in: "accent", tool: "accent", transfer: "accent", dtmf: "accent", hold: "quiet", note: "quiet",
  timeline: "quiet", repetition: "warn", hello: "warn", clipping: "warn", loss: "warn" };
const NAMES = { barge_in: "interruption", false_yield: "false yield", no_yield: "not yielded", talk_over: "talk-over",
  dead_air: "dead air", cut_off: "cut off", hello: "hello?", repetition: "said again", dtmf: "key", hold: "hold",
  tool: "tool", transfer: "transfer", fault: "fault", loss: "loss", clipping: "clipped", one_way: "one way", note: "note" };
const SHADED = { dead_air: "grey-wash", talk_over: "bad-wash" };
const RULER = 20, LANE = 90, ROW = 15;

function clock(ms) {
  const seconds = Math.max(0, ms) / 1000;
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

class Timeline {
  constructor(canvas, overview, data, seek) {
    Object.assign(this, { canvas, overview, data, seek, at: 0, from: 0 });
    this.length = Math.max(1000, data.verdict.duration_ms);
    this.span = Math.min(this.length, 60000);
    this.peaks = Object.fromEntries(Object.entries(data.peaks).map(([side, text]) => [side, this.unpack(text)]));
    this.drag(canvas, (x) => this.seek(this.ms(x)));
    this.drag(overview, (x) => this.show((x / overview.clientWidth) * this.length - this.span / 2));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("mousemove", (event) => (canvas.title = this.told(event)));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  unpack(text) {
    const bytes = atob(text), found = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at++) found[at] = bytes.charCodeAt(at);
    return found;
  }

  ms(x) {
    return Math.min(this.length, Math.max(0, this.from + (x / this.canvas.clientWidth) * this.span));
  }

  x(ms) {
    return ((ms - this.from) / this.span) * this.canvas.clientWidth;
  }

  drag(element, move) {
    let down = false;
    const place = (event) => move(event.clientX - element.getBoundingClientRect().left);
    element.addEventListener("pointerdown", (event) => {
      down = true;
      element.setPointerCapture(event.pointerId);
      place(event);
    });
    element.addEventListener("pointermove", (event) => down && place(event));
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (down = false));
  }

  wheel(event) {
    if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY) && !event.shiftKey) return;
    event.preventDefault();
    if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, event.offsetX);
    else this.show(this.from + ((event.deltaX || event.deltaY) / this.canvas.clientWidth) * this.span);
  }

  zoom(factor, x = this.canvas.clientWidth / 2) {
    const fixed = this.ms(x);
    this.span = Math.min(this.length, Math.max(2000, this.span * factor));
    this.show(fixed - (x / this.canvas.clientWidth) * this.span);
  }

  show(from) {
    this.from = Math.min(Math.max(0, from), Math.max(0, this.length - this.span));
    this.draw();
  }

  move(ms) {
    this.at = ms;
    if (ms < this.from || ms > this.from + this.span * 0.95) this.show(ms - this.span * 0.1);
    else this.draw();
  }

  told(event) {
    const ms = this.ms(event.offsetX), slack = (6 / this.canvas.clientWidth) * this.span;
    const near = this.data.verdict.events.filter((e) => ms >= e.start_ms - slack && ms <= e.end_ms + slack);
    return [clock(ms), ...near.slice(0, 6).map((e) => `${NAMES[e.kind] || e.kind} ${e.text}`)].join("\n");
  }

  surface(canvas) {
    const scale = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    pen.scale(scale, scale);
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    return pen;
  }

  draw() {
    if (!this.canvas.clientWidth) return;
    const pen = this.surface(this.canvas), height = this.canvas.clientHeight;
    const lane = Math.min(LANE, (height - RULER - 2 * ROW) / 2);
    const tops = { caller: RULER, bot: RULER + lane };
    for (const event of this.data.verdict.events) {
      if (!SHADED[event.kind]) continue;
      pen.fillStyle = ink(SHADED[event.kind]);
      pen.fillRect(this.x(event.start_ms), RULER, Math.max(1, this.x(event.end_ms) - this.x(event.start_ms)), 2 * lane);
    }
    this.ruler(pen, height);
    for (const side of ["caller", "bot"]) {
      this.turns(pen, side, tops[side], lane);
      this.wave(pen, side, tops[side] + lane / 2 + 8, lane / 2 - 12);
    }
    this.events(pen, RULER + 2 * lane, height);
    pen.fillStyle = ink("ink");
    pen.fillRect(this.x(this.at) - 0.75, 0, 1.5, height);
    this.small();
  }

  ruler(pen, height) {
    const steps = [100, 500, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000];
    const step = steps.find((each) => (each / this.span) * this.canvas.clientWidth >= 70) || 7200000;
    pen.font = `11px ${ink("sans")}`;
    for (let ms = Math.ceil(this.from / step) * step; ms <= this.from + this.span; ms += step) {
      pen.fillStyle = ink("rule");
      pen.fillRect(this.x(ms), 0, 1, height);
      pen.fillStyle = ink("quiet");
      pen.fillText(clock(ms), this.x(ms) + 4, 13);
    }
  }

  turns(pen, side, top, lane) {
    pen.font = `12px ${ink("sans")}`;
    const turns = this.data.verdict.turns.filter((turn) => turn.side === side);
    for (const [number, turn] of turns.entries()) {
      if (turn.end_ms < this.from || turn.start_ms > this.from + this.span) continue;
      const left = this.x(turn.start_ms), width = Math.max(1, this.x(turn.end_ms) - left);
      pen.fillStyle = ink(side === "caller" ? "accent-wash" : "bot-wash");
      pen.globalAlpha = 0.75;
      pen.fillRect(left, top + 2, width, lane - 4);
      pen.globalAlpha = 1;
      pen.save();
      pen.beginPath();
      const free = this.x(turns[number + 1]?.start_ms ?? this.length) - 8; // words may run on into the silence after
      pen.rect(Math.max(0, left), top, Math.max(0, free - Math.max(0, left)), lane);
      pen.clip();
      pen.fillStyle = ink("ink");
      pen.fillText(turn.text, Math.max(2, left + 3), top + 15);
      pen.restore();
    }
  }

  wave(pen, side, middle, reach) {
    const peaks = this.peaks[side];
    if (!peaks) return;
    pen.fillStyle = ink(side === "caller" ? "accent" : "bot");
    const width = this.canvas.clientWidth, bin = this.data.bin_ms;
    for (let x = 0; x < width; x++) {
      const first = Math.floor(this.ms(x) / bin), last = Math.max(first + 1, Math.floor(this.ms(x + 1) / bin));
      let peak = 0;
      for (let at = first; at < last && at < peaks.length; at++) peak = Math.max(peak, peaks[at]);
      const size = Math.max(0.5, (peak / 255) * reach);
      pen.fillRect(x, middle - size, 1, 2 * size);
    }
  }

  events(pen, top, height) {
    const rows = Math.max(1, Math.floor((height - top) / ROW)), ends = new Array(rows).fill(-Infinity);
    pen.font = `11px ${ink("sans")}`;
    for (const event of this.data.verdict.events) {
      if (SHADED[event.kind] && event.end_ms - event.start_ms < 1000) continue;
      const left = this.x(event.start_ms), right = this.x(event.end_ms);
      if (right < 0 || left > this.canvas.clientWidth) continue;
      const label = event.kind === "dtmf" ? event.text : NAMES[event.kind] || event.kind;
      const wide = Math.max(right - left, pen.measureText(label).width + 8);
      const row = ends.findIndex((end) => end < left);
      if (row < 0) continue;
      ends[row] = left + wide;
      pen.fillStyle = ink(COLOURS[event.kind] || "bad");
      pen.fillRect(left, top + row * ROW + 2, Math.max(2, right - left), 2);
      pen.fillText(label, Math.max(1, left) + 2, top + row * ROW + 14);
    }
  }

  small() {
    const pen = this.surface(this.overview), width = this.overview.clientWidth, height = this.overview.clientHeight;
    for (const [side, middle] of [["caller", height * 0.27], ["bot", height * 0.73]]) {
      const peaks = this.peaks[side];
      if (!peaks) continue;
      pen.fillStyle = ink(side === "caller" ? "accent" : "bot");
      for (let x = 0; x < width; x++) {
        const first = Math.floor((x / width) * peaks.length), last = Math.floor(((x + 1) / width) * peaks.length);
        let peak = 0;
        for (let at = first; at <= last && at < peaks.length; at++) peak = Math.max(peak, peaks[at]);
        pen.fillRect(x, middle - (peak / 255) * height * 0.22, 1, Math.max(1, (peak / 255) * height * 0.44));
      }
    }
    pen.fillStyle = ink("bad");
    for (const moment of this.data.verdict.worst) pen.fillRect((moment.at_ms / this.length) * width - 1, 0, 2, height);
    pen.strokeStyle = ink("ink");
    pen.strokeRect((this.from / this.length) * width + 0.5, 0.5, Math.max(3, (this.span / this.length) * width - 1), height - 1);
  }
}

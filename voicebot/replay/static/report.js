/* The report: everything but the picture. All text goes in as text, never as markup. */
const data = JSON.parse(document.getElementById("data").textContent);
const { verdict } = data;
const $ = (id) => document.getElementById(id);
const audio = $("audio");

function make(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function shown(metric, value = metric.value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return value || "none";
  if (metric.unit === "%" && metric.count !== null && metric.count < 10) return `${Math.round((value / 100) * metric.count)} of ${metric.count}`;
  const digits = metric.unit === "ms" || Number.isInteger(value) ? 0 : 2;
  return `${value.toFixed(digits)}${metric.unit ? ` ${metric.unit}` : ""}`;
}

/* --- sound: one file with two channels, either of which can be left out ------------------------------------------ */

let gains = null;
function wire() {
  if (gains || !window.AudioContext) return;
  const context = new AudioContext(), split = context.createChannelSplitter(2), join = context.createChannelMerger(2);
  context.createMediaElementSource(audio).connect(split);
  gains = ["caller", "bot"].map((_, channel) => {
    const gain = context.createGain();
    split.connect(gain, channel);
    for (const ear of [0, 1]) gain.connect(join, 0, ear);
    return gain;
  });
  join.connect(context.destination);
  gains.context = context;
  choose();
}

function choose() {
  const side = $("hear").value;
  if (gains) gains.forEach((gain, channel) => (gain.gain.value = side === "both" || side === ["caller", "bot"][channel] ? 1 : 0));
}

let until = null;
function play(from_ms, end_ms = null) {
  wire();
  gains?.context.resume();
  until = end_ms;
  if (from_ms !== null) seek(from_ms);
  audio.play().catch(() => {});
}

function seek(ms) {
  audio.currentTime = ms / 1000;
  timeline.move(ms);
  tick();
}

function listen(ms, end_ms) {
  play(Math.max(0, ms - 1000), end_ms + 1000);
  $("listen").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function at(ms, end_ms = ms) {
  const button = make("button", clock(ms));
  button.type = "button";
  button.setAttribute("aria-label", `Play from ${clock(ms)}`);
  button.addEventListener("click", () => listen(ms, end_ms));
  return button;
}

function tick() {
  const ms = audio.currentTime * 1000;
  $("clock").textContent = `${clock(ms)} / ${clock(verdict.duration_ms)}`;
  $("at").textContent = clock(ms);
  for (const line of document.querySelectorAll(".transcript li")) {
    line.classList.toggle("now", ms >= Number(line.dataset.start) && ms < Number(line.dataset.end));
  }
}

function frame() {
  const ms = audio.currentTime * 1000;
  if (until !== null && ms >= until) {
    until = null;
    audio.pause();
  }
  timeline.move(ms);
  tick();
  if (!audio.paused) requestAnimationFrame(frame);
}

/* --- what the page says ------------------------------------------------------------------------------------------- */

function head() {
  document.title = `${verdict.name} – voicebot`;
  $("mode").textContent = `replay ${verdict.mode}`;
  $("name").textContent = verdict.name;
  const source = verdict.source;
  $("source").textContent = [source.kind, source.files.join(", "), `${clock(verdict.duration_ms)} at ${source.rate} Hz`,
    `who is who: ${source.sides}`].filter(Boolean).join(" · ");
  for (const note of source.notes) $("notes").append(make("li", note));
  if (verdict.diverged_ms !== null) {
    $("notes").append(make("li", `From ${clock(verdict.diverged_ms)} on the bot said something else than then: what was said after is not compared, when it was said is.`));
  }
}

function strip() {
  const worse = verdict.compared.filter((each) => each.outcome === "worse"), alarms = verdict.metrics.filter((each) => each.alarm);
  const section = $("verdict"), title = $("verdict-title");
  section.className = worse.length || (!verdict.compared.length && alarms.length) ? "bad" : "good";
  const names = (list) => list.map((each) => verdict.metrics.find((metric) => metric.name === each.name)?.title || each.name).join(", ");
  if (worse.length) title.textContent = `Worse than the golden run: ${names(worse)}`;
  else if (verdict.compared.length) title.textContent = "Not worse than the golden run";
  else if (alarms.length) title.textContent = `${alarms.length} alarm${alarms.length > 1 ? "s" : ""}: ${names(alarms)}`;
  else title.textContent = "No alarm";
  for (const moment of verdict.worst) {
    const item = make("li"), button = make("button");
    button.type = "button";
    button.append(make("b", moment.title), make("span", `at ${clock(moment.at_ms)} · play`));
    button.addEventListener("click", () => listen(moment.at_ms, moment.end_ms));
    item.append(button);
    $("worst").append(item);
  }
}

const STAGES = { endpoint: "accent", "final words": "warn", "reply asked": "quiet", "first token": "bot", "first clause": "bad",
  voice: "bot", heard: "ink", "first sound": "quiet" };

function stages() {
  const seen = [...new Set(verdict.answers.flatMap((answer) => answer.steps.map((step) => step.name)))];
  for (const name of [...Object.keys(STAGES).filter((each) => seen.includes(each)), "first sound"]) $("stages").append(key(name, STAGES[name]));
}

function key(name, colour) {
  const mark = make("i"), entry = make("span");
  mark.style.background = `var(--${colour})`;
  entry.append(mark, name);
  return entry;
}

function waterfall() {
  const answers = verdict.answers.filter((each) => each.bot !== null && each.gap_ms > 0);
  $("waterfall-section").hidden = !answers.length;
  const most = Math.max(1500, ...answers.map((each) => each.gap_ms));
  for (const answer of answers) {
    const turn = verdict.turns[answer.caller], item = make("li"), bar = make("div", "", "bar");
    const button = make("button", `${clock(turn.end_ms)}  ${turn.text || "(the caller)"}`);
    button.type = "button";
    button.addEventListener("click", () => listen(turn.end_ms, verdict.turns[answer.bot].start_ms));
    const end = verdict.turns[answer.bot].start_ms;
    const steps = answer.steps.filter((step) => step.at_ms <= end).concat({ name: "first sound", at_ms: end });
    let before = turn.end_ms;
    steps.forEach((step) => {
      const part = make("span");
      part.style.left = `${((before - turn.end_ms) / most) * 100}%`;
      part.style.width = `${((step.at_ms - before) / most) * 100}%`;
      part.style.background = `var(--${STAGES[step.name] || "warn"})`;
      part.title = `${step.name}: ${step.at_ms - before} ms`;
      bar.append(part);
      before = step.at_ms;
    });
    const limit = make("em");
    limit.style.left = `${(Math.min(most, answer.tool ? 2500 : 1500) / most) * 100}%`;
    bar.append(limit);
    const text = steps.map((step, number) => `${step.name} ${step.at_ms - (number ? steps[number - 1].at_ms : turn.end_ms)} ms`);
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", text.join(", "));
    item.title = text.join("\n");
    item.append(button, bar, make("span", `${answer.gap_ms} ms`, "number"));
    $("waterfall").append(item);
  }
}

function words(turn) {
  const line = make("p");
  if (turn.heard) {
    const rest = turn.text.split(/\s+/).slice(turn.heard.split(/\s+/).filter(Boolean).length).join(" ");
    line.append(make("span", turn.heard), " ", make("span", rest, "unheard"));
  } else {
    line.textContent = turn.text || "(words not known)";
    if (!turn.text) line.className = "quiet";
  }
  return line;
}

function transcript() {
  for (const turn of verdict.turns) {
    const item = make("li", "", turn.side);
    Object.assign(item.dataset, { start: turn.start_ms, end: turn.end_ms });
    item.append(at(turn.start_ms, turn.end_ms), make("span", turn.side, "who"), words(turn));
    $("transcript").append(item);
  }
  if (!verdict.transcript.length) return;
  $("aligned").hidden = false;
  $("aligned").append(make("b", "The caller's words against the reference: "));
  for (const each of verdict.transcript) {
    const word = make("span", each.kind === "missing" ? each.reference : each.heard, each.kind === "same" ? "" : each.kind);
    if (each.kind === "wrong") word.append(make("sub", each.reference));
    $("aligned").append(word, " ");
  }
}

function events() {
  for (const event of verdict.events) {
    const item = make("li");
    const who = event.side && !event.text.startsWith(event.side) ? `${event.side} ` : "";
    item.append(at(event.start_ms, event.end_ms), make("p", NAMES[event.kind] || event.kind), make("p", who + event.text));
    $("events").append(item);
  }
  if (!verdict.events.length) $("events").append(make("li", "Nothing out of the ordinary."));
}

const GROUPS = { latency: "Latency", turns: "Taking turns", language: "Language", outcome: "Outcome", media: "The line", cost: "Cost" };

function metrics() {
  for (const [group, title] of Object.entries(GROUPS)) {
    const all = verdict.metrics.filter((each) => each.group === group);
    const known = all.filter((each) => each.value !== null), rest = all.filter((each) => each.value === null);
    $("metrics").append(make("h3", title));
    if (known.length) $("metrics").append(table(known));
    if (!rest.length) continue;
    const more = make("details");
    more.append(make("summary", `${rest.length} that this recording does not tell`), table(rest));
    $("metrics").append(more);
  }
}

function table(list) {
  const golden = Object.fromEntries(verdict.compared.map((each) => [each.name, each]));
  const found = make("table"), heading = make("thead"), first = make("tr"), body = make("tbody");
  const columns = ["metric", "value", "limit", ...(verdict.compared.length ? ["golden", "change"] : [])];
  columns.forEach((text, number) => first.append(make("td", text, number ? "number quiet" : "quiet")));
  heading.append(first);
  for (const metric of list) {
    const row = make("tr", "", metric.alarm ? "alarm" : ""), name = make("th");
    name.scope = "row";
    name.append(make("b", metric.title), make("span", metric.definition + (metric.why ? ` Not known: ${metric.why}.` : ""), "definition"));
    const long = typeof metric.value === "string" && metric.value.length > 20;
    const limit = metric.limit === null ? "" : `${metric.better === "higher" ? "≥" : "≤"} ${shown({ ...metric, count: null }, metric.limit)}`;
    row.append(name, make("td", shown(metric), `value ${long ? "long" : "number"}`), make("td", limit, "number quiet"));
    if (verdict.compared.length) {
      const compared = golden[metric.name];
      const change = compared ? (compared.delta === null ? compared.outcome : `${compared.delta > 0 ? "+" : ""}${+compared.delta.toFixed(2)}`) : "";
      const cell = make("td", change, `number ${compared?.outcome || ""}`);
      cell.title = compared?.text || "";
      row.append(make("td", compared ? shown({ ...metric, count: null }, compared.golden) : "", "number quiet"), cell);
    }
    body.append(row);
  }
  found.append(heading, body);
  return found;
}

function versions() {
  const entries = Object.entries(verdict.versions);
  $("versions-section").hidden = !entries.length;
  for (const [name, value] of entries) $("versions").append(make("dt", name), make("dd", value));
}

function legend() {
  const kinds = [...new Set(verdict.events.map((each) => each.kind))];
  const entries = [["caller", "accent"], ["bot", "bot"], ...kinds.map((kind) => [NAMES[kind] || kind, SHADED[kind] || COLOURS[kind] || "bad"])];
  for (const [name, colour] of entries) $("legend").append(key(name, colour));
}

/* --- start ------------------------------------------------------------------------------------------------------- */

const timeline = new Timeline($("timeline"), $("overview"), data, seek);
audio.src = data.audio;
for (const part of [head, strip, stages, waterfall, transcript, events, metrics, versions, legend]) part();
$("play").addEventListener("click", () => (audio.paused ? play(null) : audio.pause()));
audio.addEventListener("play", () => { $("play").textContent = "Pause"; requestAnimationFrame(frame); });
audio.addEventListener("pause", () => { $("play").textContent = "Play"; });
$("hear").addEventListener("change", choose);
$("speed").addEventListener("change", () => (audio.playbackRate = Number($("speed").value)));
$("closer").addEventListener("click", () => timeline.zoom(0.5));
$("wider").addEventListener("click", () => timeline.zoom(2));
$("whole").addEventListener("click", () => timeline.zoom(1e9));
$("timeline").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -2000, ArrowRight: 2000 }[event.key];
  if (step) seek(Math.max(0, audio.currentTime * 1000 + step));
  else if (event.key === " ") $("play").click();
  else return;
  event.preventDefault();
});
tick();

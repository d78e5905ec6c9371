/* Many calls on one page: what got worse, how each metric is spread, and every call with its worst first. */
const { suite } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const CHARTED = ["response_gap_p95", "endpoint_delay_p95", "stop_time_p95", "talk_over", "dead_air_longest", "wer", "key_terms", "mos"];
const COLUMNS = ["response_gap_p95", "stop_time_p95", "talk_over", "dead_air", "wer", "mos"];
const WORDS = { pass: "good", alarms: "with alarms", failed: "not judged" };
const ORDER = { failed: 3, worse: 2, changed: 1, pass: 0 };

function make(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function metric(call, name) {
  return call.metrics.find((each) => each.name === name);
}

function shown(found, value = found?.value) {
  if (!found || value === null || value === undefined) return "–";
  return typeof value === "number" ? `${+value.toFixed(found.unit === "ms" ? 0 : 2)}${found.unit ? ` ${found.unit}` : ""}` : value;
}

/* How much worse a metric is, in shares of its golden value or its limit: so that milliseconds and per cent compare. */
function badness(compared, call) {
  const found = metric(call, compared.name);
  if (compared.outcome !== "worse") return 0;
  const scale = Math.abs(Number(compared.golden)) || found?.limit || 1;
  return compared.delta === null ? 1 : Math.abs(compared.delta) / scale;
}

function alarms(call) {
  return call.metrics.filter((each) => each.alarm);
}

/* Without a golden run a call is good or it has alarms. */
function word(call) {
  return call.outcome === "pass" && !call.compared.length && alarms(call).length ? "alarms" : call.outcome;
}

function weight(call) {
  return ORDER[call.outcome] * 1000 + call.compared.reduce((sum, each) => sum + badness(each, call), 0) * 10 + alarms(call).length;
}

function headline() {
  const counts = {};
  for (const call of suite.calls) counts[word(call)] = (counts[word(call)] || 0) + 1;
  document.title = `${suite.title} – voicebot`;
  $("mode").textContent = `replay ${suite.mode}, suite`;
  $("title").textContent = suite.title;
  $("counts").textContent = `${suite.calls.length} calls: ${Object.entries(counts).map(([name, count]) => `${count} ${WORDS[name] || name}`).join(", ")}`;
  const worse = {};
  for (const call of suite.calls) {
    for (const each of call.compared) if (each.outcome === "worse") (worse[each.name] ||= []).push({ call, each, much: badness(each, call) });
  }
  const named = Object.entries(worse).sort((a, b) => b[1].length - a[1].length || b[1][0].much - a[1][0].much);
  $("verdict").className = named.length || counts.failed || counts.alarms ? "bad" : "good";
  const title = (name, call) => metric(call, name)?.title || name;
  $("verdict-title").textContent = named.length ? `Worse: ${named.map(([name, list]) => `${title(name, list[0].call)} (${list.length})`).join(", ")}`
    : suite.calls.some((call) => call.compared.length) ? "Nothing got worse"
    : counts.alarms ? `${counts.alarms} of ${suite.calls.length} calls have alarms` : "No call has an alarm";
  for (const { call, each } of named.flatMap(([, list]) => list).sort((a, b) => b.much - a.much).slice(0, 12)) {
    const item = make("li"), name = make("p");
    name.append(link(call));
    item.append(make("p", `${each.delta > 0 ? "+" : ""}${each.delta === null ? "" : +each.delta.toFixed(1)}`, "worse"), make("p", title(each.name, call)), name);
    item.title = each.text;
    $("worst").append(item);
  }
}

function link(call) {
  if (!call.folder) return make("span", call.name);
  const found = make("a", call.name);
  found.href = `${call.folder.split("/").map(encodeURIComponent).join("/")}/report.html`;
  return found;
}

/* A dot for every call, spread by its value; golden values are hollow. */
function chart(name) {
  const calls = suite.calls.filter((call) => typeof metric(call, name)?.value === "number");
  if (!calls.length) return;
  const first = metric(calls[0], name), box = make("div", "", "chart");
  const values = calls.map((call) => metric(call, name).value);
  const golden = calls.flatMap((call) => call.compared.filter((each) => each.name === name && typeof each.golden === "number").map((each) => each.golden));
  const all = [...values, ...golden, ...(first.limit === null ? [] : [first.limit])];
  const low = Math.min(...all), high = Math.max(...all), wide = high - low || 1;
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 300 56");
  const x = (value) => 8 + ((value - low) / wide) * 284;
  const draw = (tag, told) => {
    const mark = document.createElementNS(space, tag);
    for (const [key, value] of Object.entries(told)) mark.setAttribute(key, value);
    svg.append(mark);
    return mark;
  };
  draw("line", { x1: 8, x2: 292, y1: 46, y2: 46, stroke: "var(--rule)" });
  if (first.limit !== null) draw("line", { x1: x(first.limit), x2: x(first.limit), y1: 4, y2: 52, stroke: "var(--bad)", "stroke-dasharray": "3 3" });
  const heights = {};
  const dot = (value, told) => {
    const column = Math.round(x(value) / 5), height = (heights[column] = (heights[column] || 0) + 1);
    return draw("circle", { cx: x(value), cy: Math.max(6, 46 - height * 6), r: 2.8, ...told });
  };
  golden.forEach((value) => dot(value, { fill: "none", stroke: "var(--quiet)" }));
  calls.forEach((call) => {
    const found = metric(call, name), mark = dot(found.value, { fill: found.alarm ? "var(--bad)" : "var(--accent)" });
    const told = document.createElementNS(space, "title");
    told.textContent = `${call.name}: ${shown(found)}`;
    mark.append(told);
  });
  const sorted = [...values].sort((a, b) => a - b), middle = sorted[Math.floor((sorted.length - 1) / 2)];
  box.append(make("b", first.title), svg, make("span", `${shown(first, low)} to ${shown(first, high)}; median ${shown(first, middle)}, ${calls.length} calls`));
  box.title = first.definition;
  $("charts").append(box);
}

function rows() {
  const wanted = $("find").value.toLowerCase(), by = $("sort").value, table = $("calls");
  const number = (call) => (typeof metric(call, by)?.value === "number" ? metric(call, by).value : -Infinity);
  const calls = suite.calls.filter((call) => `${call.name} ${call.outcome} ${call.note}`.toLowerCase().includes(wanted));
  calls.sort(by === "worse" ? (a, b) => weight(b) - weight(a) : (a, b) => number(b) - number(a));
  const some = COLUMNS.filter((name) => suite.calls.some((call) => typeof metric(call, name)?.value === "number"));
  const first = make("tr");
  const titles = some.map((name) => metric(suite.calls.find((call) => metric(call, name)), name).title);
  for (const text of ["call", "outcome", "worse, alarms", ...titles]) first.append(make("td", text, "quiet"));
  const body = make("tbody");
  for (const call of calls) {
    const row = make("tr"), name = make("th");
    name.scope = "row";
    name.append(link(call));
    const passes = call.runs ? ` ${call.passed} of ${call.runs}` : "";
    const worse = call.compared.filter((each) => each.outcome === "worse").map((each) => metric(call, each.name)?.title || each.name);
    const why = call.note || worse.join(", ") || alarms(call).map((each) => each.title).join(", ");
    row.append(name, make("td", (WORDS[word(call)] || word(call)) + passes, { pass: "better", changed: "changed" }[word(call)] || "worse"), make("td", why, "long"));
    for (const each of some) row.append(make("td", shown(metric(call, each)), `number ${metric(call, each)?.alarm ? "worse" : ""}`));
    body.append(row);
  }
  const heading = make("thead");
  heading.append(first);
  table.replaceChildren(heading, body);
}

headline();
CHARTED.forEach(chart);
$("sort").append(new Option("what got worse", "worse"));
for (const name of COLUMNS) {
  const found = suite.calls.map((call) => metric(call, name)).find(Boolean);
  if (found) $("sort").append(new Option(found.title, name));
}
$("find").addEventListener("input", rows);
$("sort").addEventListener("change", rows);
rows();
const entries = Object.entries(suite.versions);
$("versions-section").hidden = !entries.length;
for (const [name, value] of entries) $("versions").append(make("dt", name), make("dd", value));

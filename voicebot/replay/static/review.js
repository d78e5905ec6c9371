/* Labels: what a person thinks of the call. `voicebot replay open` takes them and keeps them beside the report. A page
   that was opened from disk cannot write: it keeps them in the browser and gives them as a file to be put there. */
const TAGS = ["", "too slow", "cut me off", "did not stop", "stopped for nothing", "misheard", "said something wrong", "wrong outcome",
  "dead air", "bad line", "the metric is wrong", "other"];
const served = location.protocol.startsWith("http") && data.token;
const KEPT = `voicebot-labels:${verdict.name}`;
let labels = data.labels;

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) || "[]");
  } catch {
    return [];
  }
}

function list() {
  $("labels").replaceChildren();
  for (const label of labels) {
    const item = make("li"), word = { well: "good-word", badly: "bad-word" }[label.handled] || "";
    item.append(at(label.at_ms ?? 0), make("p", [label.handled, label.tag].filter(Boolean).join(", "), word), make("p", label.note));
    $("labels").append(item);
  }
}

async function save(label) {
  if (served) {
    const answer = await fetch("labels", { method: "POST", headers: { "Content-Type": "application/json", "X-Token": data.token }, body: JSON.stringify(label) });
    if (!answer.ok) throw new Error(await answer.text());
    labels = await answer.json();
    return "Saved beside the report.";
  }
  labels = [...labels, label];
  try {
    localStorage.setItem(KEPT, JSON.stringify(labels));
  } catch { /* the file has them */ }
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(labels, null, 2)], { type: "application/json" }));
  link.download = "labels.json";
  link.click();
  return "labels.json was downloaded: put it beside the report.";
}

for (const tag of TAGS) $("label").elements.tag.append(new Option(tag || "nothing in particular", tag));
$("where").textContent = served
  ? "Labels are saved as labels.json beside the report; disagreement becomes test data."
  : "This page was opened from disk and cannot write: a label is downloaded as labels.json, to be put beside the report. `voicebot replay open FOLDER` saves it by itself.";
if (!served && kept().length > labels.length) labels = kept();
$("label").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  const label = { call: verdict.name, handled: form.handled.value, tag: form.tag.value, note: form.note.value.trim(),
    at_ms: form.here.checked ? Math.round(audio.currentTime * 1000) : null };
  try {
    $("saved").textContent = await save(label);
    form.note.value = "";
  } catch (error) {
    $("saved").textContent = `Not saved: ${error.message}`;
  }
  list();
});
list();

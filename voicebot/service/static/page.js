/* The page around a call: choosing, the state in words, the keypad, what went wrong. */
import { ask, Call } from "./call.js";
import { Transcript } from "./transcript.js";

const $ = (name) => document.getElementById(name);
const transcript = new Transcript($("transcript"));

const STATES = {
  idle: "Ready",
  asking: "Opening the microphone",
  ringing: "Ringing",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  ended: "Call ended",
};

/** The turn machine's states, as a caller sees them. */
const SEEN = {
  listening: "listening",
  hearing: "listening",
  yielding: "listening",
  deciding: "thinking",
  thinking: "thinking",
  speaking: "speaking",
  closing: "speaking",
};

const ENDINGS = {
  caller_hangup: "You hung up.",
  bot_hangup: "The bot hung up.",
  transfer: "You were put through.",
  media_lost: "The connection was lost.",
  engine_failed: "The service had a fault and ended the call.",
  overload: "The service was overloaded and ended the call.",
  drained: "The service is shutting down.",
  crashed: "The service had a fault and ended the call.",
  rejected: "The call was refused.",
};

const TROUBLES = {
  microphone_refused: "The microphone was refused. Allow it for this page in the browser's address bar, then call again.",
  microphone_missing: "No microphone can be used. Plug one in, or close the program that holds it, then call again.",
  insecure: "Browsers give the microphone to https pages only, or to http://localhost. Open this page there.",
  no_websocket: "No websocket could be opened. A proxy in between may not pass them on (Connection: Upgrade).",
  unreachable: "The service does not answer. Is it still running?",
  busy: "The service is busy. Try again in a moment.",
  refused: "The service refused the call.",
  token: "The service asks for its console token.",
  broken: "The call could not be set up.",
};

const TOKEN = "voicebot.console-token";
let call = null;
let clock = 0;
let putThrough = "";

// --- what is seen

function show(state, why = "") {
  document.body.dataset.state = state;
  $("state").textContent = why ? `${STATES[state]}. ${why}` : STATES[state];
  $("call").querySelector("span").textContent = state === "ended" ? "Call again" : "Call";
}

function problem(trouble) {
  const known = TROUBLES[trouble.kind] ?? TROUBLES.broken;
  const detail = trouble.message === trouble.kind ? "" : trouble.message;
  $("problem").textContent = trouble.kind === "busy" && detail ? detail : [known, detail].filter(Boolean).join(" ");
}

function level(rms) {
  const decibels = 20 * Math.log10(rms + 1e-6);
  const shown = Math.round(Math.max(0, Math.min(100, (decibels + 60) * 2))); // -60 … -10 dBFS
  $("meter").style.setProperty("--level", shown / 100);
  $("meter").setAttribute("aria-valuenow", shown);
}

function tick(since) {
  const seconds = Math.floor((performance.now() - since) / 1000);
  $("timer").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// --- a call

const telling = {
  ringing: () => show("ringing"),
  answered() {
    const since = performance.now();
    clock = setInterval(tick, 250, since);
  },
  record(record) {
    transcript.take(record);
    if (record.kind === "state" && SEEN[record.state] && (call.answered || record.state === "speaking"))
      show(SEEN[record.state]);
  },
  level,
  transfer(to) {
    putThrough = to;
  },
  ended(reason) {
    close();
    const why = ENDINGS[reason] ?? "";
    show("ended", reason === "transfer" && putThrough ? `You would now be put through to ${putThrough}.` : why);
  },
  failed(trouble) {
    close();
    show("idle");
    problem(trouble);
    if (trouble.kind === "token") door();
  },
};

function close() {
  clearInterval(clock);
  transcript.end();
  call = null;
  level(0);
  mute(false);
  queueMicrotask(() => $("call").focus({ preventScroll: true }));
}

function place(dialplan) {
  if (call || !dialplan) return;
  $("problem").textContent = "";
  $("called").textContent = dialplan;
  $("timer").textContent = "0:00";
  transcript.clear();
  putThrough = "";
  show("asking");
  call = new Call(dialplan, sessionStorage.getItem(TOKEN), telling);
  $("mute").focus({ preventScroll: true });
}

function mute(muted) {
  $("mute").setAttribute("aria-pressed", muted);
  $("mute").textContent = muted ? "Unmute" : "Mute";
  call?.mute(muted);
}

function press(digit) {
  if (!call) return;
  call.press(digit);
  const key = $("pad").querySelector(`[data-digit="${digit}"]`);
  key.classList.add("pressed");
  setTimeout(() => key.classList.remove("pressed"), 150);
}

// --- the service

async function dialplans() {
  try {
    offer(await ask("/api/dialplans", sessionStorage.getItem(TOKEN)));
  } catch (trouble) {
    if (trouble.kind === "token") door();
    else problem(trouble);
  }
}

function offer(plans) {
  const field = $("dialplans");
  field.querySelectorAll("label").forEach((label) => label.remove());
  plans.forEach(({ name, description }, index) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "dialplan", value: name });
    input.checked = index === 0;
    const title = Object.assign(document.createElement("strong"), { textContent: name });
    const about = Object.assign(document.createElement("small"), { textContent: description });
    label.append(input, title, about);
    field.append(label);
  });
  $("call").disabled = !plans.length;
  if (!plans.length) problem({ kind: "refused", message: "It has no dialplan to call." });
}

/** Ask for the console token. */
function door() {
  $("door-wrong").textContent = sessionStorage.getItem(TOKEN) ? "That was not the token." : "";
  sessionStorage.removeItem(TOKEN);
  $("token").value = "";
  if (!$("door").open) $("door").showModal();
}

// --- hands

$("choose").addEventListener("submit", (event) => {
  event.preventDefault();
  place(new FormData(event.target).get("dialplan"));
});
$("door").querySelector("form").addEventListener("submit", () => {
  sessionStorage.setItem(TOKEN, $("token").value.trim());
  $("problem").textContent = $("door-wrong").textContent = "";
  dialplans();
});
$("other").addEventListener("click", () => {
  show("idle");
  $("choose").elements.dialplan.value && $("choose").querySelector(":checked").focus();
});
$("hangup").addEventListener("click", () => call?.hangUp());
$("mute").addEventListener("click", () => mute($("mute").getAttribute("aria-pressed") !== "true"));
$("keys").addEventListener("click", () => {
  const open = $("keys").getAttribute("aria-expanded") !== "true";
  $("keys").setAttribute("aria-expanded", open);
});
for (const digit of "123456789*0#") {
  const key = Object.assign(document.createElement("button"), { type: "button", textContent: digit });
  key.dataset.digit = digit;
  key.setAttribute("aria-label", { "*": "star", "#": "pound" }[digit] ?? digit);
  key.addEventListener("click", () => press(digit));
  $("pad").append(key);
}
addEventListener("keydown", (event) => {
  if (call && /^[0-9*#]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat) {
    event.preventDefault();
    press(event.key);
  }
});
addEventListener("pagehide", () => call?.hangUp());

$("keys").setAttribute("aria-expanded", matchMedia("(min-width: 48rem)").matches);
dialplans();

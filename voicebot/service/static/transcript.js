/* The conversation as it is written down: timeline records in, lines of a list out.

   A bot's line stands from its first audio on, and has its words when they were heard: what was generated is not yet
   said. A caller's line is grey until its words are final; a screen reader hears the final one only. */

/** The rest of `text` after what was `heard`: the same words, whatever the space between them. */
export function unheard(text, heard) {
  const all = text.trim().split(/\s+/);
  const count = heard.trim() ? heard.trim().split(/\s+/).length : 0;
  return all.slice(count).join(" ");
}

export class Transcript {
  constructor(list) {
    this.list = list;
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.partial = null;
    this.heard = null; // the caller's turn, which a native engine may have heard better
    this.bots = new Map(); // turn → its line, until it was said
    this.asked = null; // the caller's turn that waits for its answer
  }

  take(record) {
    switch (record.kind) {
      case "words":
        return this.words(record);
      case "turn":
        return this.turn(record);
      case "resume":
        return this.drop();
      case "reply_audio":
        return this.bot(record.turn);
      case "heard_from":
        return this.latency(record);
      case "said":
        return this.said(record);
      case "fixed":
        return this.text(this.line("bot"), record.text);
      case "transfer":
        return this.note(record.ok ? `Put through to ${record.to}` : `Could not be put through to ${record.to}`);
    }
  }

  // --- the caller

  words({ text, final, by }) {
    if (!text) return;
    if (by) {
      // a native engine's own ears, which are often later than its answer
      if (final && this.heard) this.text(this.heard, text);
      return;
    }
    if (!this.partial) {
      this.partial = this.line("caller");
      this.partial.classList.add("partial");
      this.partial.setAttribute("aria-hidden", "true");
    }
    this.text(this.partial, text);
  }

  drop() {
    this.partial?.remove();
    this.partial = null;
  }

  turn({ turn, text, digits, end_ms }) {
    const line = this.line("caller", this.partial);
    this.drop();
    if (digits) line.classList.add("keyed");
    this.text(line, digits || text || "…");
    this.heard = digits ? null : line;
    this.asked = { turn, end_ms };
  }

  // --- the bot

  bot(turn) {
    if (this.bots.has(turn)) return this.bots.get(turn);
    const line = this.line("bot");
    line.classList.add("talking");
    line.querySelector(".words").append(...["", "", ""].map(() => element("i")));
    this.bots.set(turn, line);
    return line;
  }

  latency({ ms, turn }) {
    if (this.asked?.turn !== turn) return;
    const line = this.bots.get(turn);
    const took = ms - this.asked.end_ms;
    this.asked = null;
    if (!line || took < 0) return;
    const small = element("small", "latency", `${took} ms`);
    small.title = "From the end of the caller's speech to the first sound of the answer";
    line.querySelector(".who").append(small);
    line.scrollIntoView({ block: "end" });
  }

  said({ turn, text, heard, complete }) {
    const line = this.bots.get(turn);
    this.bots.delete(turn);
    if (!heard) return line?.remove();
    const target = line ?? this.line("bot");
    target.classList.remove("talking");
    this.text(target, heard);
    const rest = complete ? "" : unheard(text, heard);
    if (!rest) return;
    const cut = element("span", "cut", " — ");
    const lost = element("s", "", rest);
    lost.title = "Not heard: the caller spoke";
    cut.append(lost);
    target.querySelector(".words").append(cut);
  }

  /** The call is over: nothing more will be said of what was still open. */
  end() {
    for (const line of this.bots.values()) {
      line.classList.remove("talking");
      this.text(line, "…");
    }
    this.bots.clear();
    this.partial = null;
  }

  // --- lines

  /** A new line, at the end or in the place before another. */
  line(who, before = null) {
    const item = element("li", who);
    item.append(element("span", "who", who === "bot" ? "Bot" : "You"), element("span", "words"));
    this.list.insertBefore(item, before);
    item.scrollIntoView({ block: "end" });
    return item;
  }

  note(text) {
    const item = element("li", "note", text);
    this.list.append(item);
    item.scrollIntoView({ block: "end" });
  }

  text(line, text) {
    line.querySelector(".words").textContent = text;
    line.scrollIntoView({ block: "end" });
  }
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// What became of each turn, drawn: one lane below the other, on an axis of seconds since it was asked.

import { $, make } from "./dom.js";

const CAUSES = { first: "", hedge: "a second attempt beside it", failover: "the next model", retry: "again" };
const PROMPTS = { greeting: "Greeting", caller_silent: "The caller was silent" };
const FALLBACKS = {
  apology: "an apology was said",
  give_up: "it said that it takes too long",
  closing_line: "the broken sentence was closed",
  fallback_greeting: "the spare greeting was said",
};
const OUTCOMES = {
  completed: () => "heard to its end",
  interrupted: (turn) => `interrupted after ${turn.words_heard} of ${turn.words_said} words`,
  superseded: () => "superseded: never heard",
  failed: (turn) => `failed (${turn.reason})${turn.fallback ? `: ${FALLBACKS[turn.fallback]}` : ""}`,
  disconnected: () => "cut by the end of the line",
};

export class Turns {
  constructor() {
    this.clear();
  }

  clear() {
    $("turns").replaceChildren();
    this.cards = new Map();
    this.showEmptiness();
  }

  showEmptiness() {
    $("no-turns").hidden = this.cards.size > 0;
    $("legend").hidden = this.cards.size === 0;
  }

  /** Draw all that is known of a turn; `caller` is what was said before it. */
  show(turn, caller) {
    let card = this.cards.get(turn.turn_index);
    if (!card) {
      card = { element: make("li", "turn"), title: PROMPTS[turn.prompt] ?? `“${caller}”` };
      this.cards.set(turn.turn_index, card);
      $("turns").prepend(card.element);
      this.showEmptiness();
    }
    card.element.replaceChildren(head(card.title, turn), chart(turn), milestones(turn));
    card.element.dataset.outcome = turn.outcome ?? "open";
  }
}

function head(title, turn) {
  const isDone = turn.duration !== null;
  const words = turn.outcome
    ? OUTCOMES[turn.outcome](turn)
    : isDone ? "said; the next request tells what was heard of it" : "answering …";
  const badge = make("span", `outcome ${turn.outcome ?? "open"}`, turn.outcome ?? (isDone ? "said" : "answering"));
  badge.title = turn.outcome ? "" : "Settled when the platform shows what was heard: with its next request, or the end.";
  return make("div", "head", make("h3", "", title), badge, make("p", "became", words));
}

function chart(turn) {
  const lanes = lanesOf(turn);
  const last = Math.max(0.2, ...lanes.flatMap((lane) => lane.bars.map((bar) => bar.to)), turn.duration ?? 0);
  const end = last * 1.02;
  const at = (seconds) => `${((100 * Math.max(0, seconds)) / end).toFixed(2)}%`;
  const rows = lanes.map((lane) => {
    const bars = lane.bars.map((bar) => {
      const drawn = make("i", bar.kind);
      drawn.style.left = at(bar.from);
      drawn.style.width = at(bar.to - bar.from);
      return drawn;
    });
    return make("div", "lane", make("span", "name", lane.name), make("div", "track", ...bars));
  });
  const axis = make("div", "axis", ...ticks(end).map((tick) => {
    const drawn = make("i", "", tick === 0 ? "0" : shown(tick));
    drawn.style.left = at(tick);
    return drawn;
  }));
  const drawn = make("div", "chart", ...rows, make("div", "lane", make("span", "name"), axis));
  drawn.setAttribute("aria-hidden", "true"); // the list below it tells the same
  return drawn;
}

function lanesOf(turn) {
  const work = [];
  if (turn.knowledge) {
    work.push({ name: "knowledge", bars: [{ kind: "k-know", from: 0, to: Math.max(turn.knowledge_waited, 0.004) }] });
  }
  for (const [target, cause, , began, first, ended] of turn.model_attempts ?? []) {
    const bars = [{ kind: "k-wait", from: began / 1000, to: (first ?? ended) / 1000 }];
    if (first !== null) bars.push({ kind: "k-model", from: first / 1000, to: ended / 1000 });
    work.push({ name: cause === "first" ? target : `${target}, ${cause}`, bars });
  }
  for (const [name, , took, began] of turn.tools ?? []) {
    const from = (began ?? 0) / 1000;
    work.push({ name, bars: [{ kind: "k-tool", from, to: from + (took ?? 0) / 1000 }] });
  }
  const words = [];
  if (turn.held_after !== null) words.push({ kind: "k-hold", from: turn.held_after, to: turn.held_after + 0.03 });
  const begun = turn.time_to_first_chunk ?? turn.duration; // a line of ours is all at once
  if (begun !== null) words.push({ kind: "k-words", from: begun, to: Math.max(turn.duration ?? begun, begun + 0.01) });
  const sentence = turn.time_to_first_sentence;
  if (sentence !== null) words.push({ kind: "mark", from: sentence, to: sentence });
  return [...work.sort((a, b) => a.bars[0].from - b.bars[0].from), { name: "words", bars: words }];
}

function ticks(end) {
  const step = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10].find((each) => end / each <= 5) ?? 20;
  return Array.from({ length: Math.floor((0.9 * end) / step) + 1 }, (_, number) => number * step);
}

function milestones(turn) {
  const firsts = (turn.model_attempts ?? []).map((attempt) => attempt[4]).filter((first) => first !== null);
  const told = [
    ["first token", firsts.length ? Math.min(...firsts) / 1000 : null],
    ["hold line", turn.held_after],
    ["first chunk", turn.time_to_first_chunk],
    ["first sentence", turn.time_to_first_sentence],
    ["done", turn.duration],
  ].filter(([, seconds]) => seconds !== null).sort((a, b) => Math.round(1000 * a[1]) - Math.round(1000 * b[1]));
  const list = make("dl", "", ...told.map(([name, seconds]) => make("div", "", make("dt", "", name), make("dd", "", shown(seconds)))));
  return make("div", "", list, ...remarks(turn).map((remark) => make("p", "remark", remark)));
}

function remarks(turn) {
  const told = [];
  if (turn.knowledge) {
    const passages = turn.passages === 1 ? "1 passage" : `${turn.passages} passages`;
    told.push(turn.knowledge === "found" ? `Knowledge: ${passages} found.` : `Knowledge: ${turn.knowledge}.`);
  }
  for (const [target, cause, result, began] of turn.model_attempts ?? []) {
    const isUsual = cause === "first" && result === "answered";
    const why = CAUSES[cause] ? `${CAUSES[cause]}, after ${shown(began / 1000)}` : "asked first";
    if (!isUsual) told.push(`${target} (${why}): ${result}.`);
  }
  for (const [name, result, took] of turn.tools ?? []) {
    told.push(`Tool ${name}: ${result}${took === null ? "" : ` after ${shown(took / 1000)}`}.`);
  }
  if (turn.action) told.push(`Asked the platform: ${turn.action.replaceAll("_", " ")}.`);
  return told;
}

const shown = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${Number(seconds.toFixed(2))} s`);

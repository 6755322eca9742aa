// What was said, heard and cut off. The simulated platform tells; nothing is decided here.

import { $, follow, make } from "./dom.js";

const WORD = /\s*\S+/g;

/** One answer of the agent's: what was heard, what is still to come, what was never heard. */
class Answer {
  constructor() {
    this.text = "";
    this.words = 0;
    this.isOver = false;
    this.heard = make("span");
    this.rest = make("span", "rest");
    this.note = make("small");
    this.element = make("li", "agent waiting", make("b", "unseen", "Agent: "), make("p", "", this.heard, this.rest), this.note);
  }

  say(text) {
    this.text += text;
    this.element.classList.remove("waiting");
    this.draw();
  }

  hear(count) {
    this.words = Math.max(this.words, count);
    this.draw();
  }

  draw() {
    const words = this.text.match(WORD) ?? [];
    this.heard.textContent = words.slice(0, this.words).join("");
    this.rest.textContent = words.slice(this.words).join("");
  }

  finish() {
    this.isOver = true;
    this.hear(Infinity);
  }

  /** What was not heard is struck out. */
  cut(note, heard = null) {
    this.isOver = true;
    if (heard !== null) this.hear((heard.match(WORD) ?? []).length);
    this.rest.className = "lost";
    this.note.textContent = note;
  }
}

const CUT_BY = {
  caller: "You cut in here.",
  agent: "The agent cut itself off here.",
  line: "The line broke here, and the platform asks again.",
};
const ACTIONS = {
  end_call: () => "The agent hung up.",
  transfer_number: (number) => `The caller is put through to ${number}.`,
  digit_to_press: (digits) => `The agent pressed ${digits}.`,
};

export class Conversation {
  constructor() {
    this.list = $("said");
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.answers = new Map();
    this.tools = new Map();
    this.callerSaid = "";
  }

  add(element) {
    follow(this.list, () => this.list.append(element));
  }

  note(text, className = "") {
    this.add(make("li", `note ${className}`, text));
  }

  say(text) {
    this.callerSaid = text;
    this.add(make("li", "caller", make("b", "unseen", "You: "), make("p", "", text)));
  }

  /** What the simulated platform did or saw. Returns what a listener should be told, if anything. */
  show(what, fact) {
    switch (what) {
      case "line_opened":
        return this.tellNote(fact.is_again ? "Back on the line." : "The line is open.");
      case "redial":
        return this.tellNote(`${fact.reason.replace(/^./, (letter) => letter.toUpperCase())}. The platform dials again.`, "bad");
      case "turn_asked":
        this.withdraw();
        if (fact.is_reminder) this.note("You are silent, so the platform asks for a reminder.");
        this.answer(fact.turn_id);
        return "";
      case "chunk_arrived":
        follow(this.list, () => this.answer(fact.turn_id).say(fact.text));
        return "";
      case "words_heard":
        this.answers.get(fact.turn_id)?.hear(fact.count);
        return "";
      case "turn_finished":
        return this.finishTurn(fact);
      case "speech_finished":
        this.answers.get(fact.turn_id)?.finish();
        return "";
      case "speech_cut":
        this.answers.get(fact.turn_id)?.cut(CUT_BY[fact.by], fact.heard);
        return `${CUT_BY[fact.by]} Heard: ${fact.heard || "nothing"}`;
      case "action_taken":
        return this.tellNote(ACTIONS[fact.action.name](fact.action.value));
      case "action_discarded":
        return this.tellNote("What the agent wanted done was not done: its words were cut off.");
      case "tool_called":
        this.callTool(fact);
        return "";
      case "tool_answered":
        this.answerTool(fact);
        return "";
      case "rule_broken":
        return this.tellNote(`Not as the platform wants it: ${fact.rule}.`, "bad");
      case "page_told":
        this.note(`For the web page: ${fact.json}`);
        return "";
      default:
        return "";
    }
  }

  tellNote(text, className) {
    this.note(text, className);
    return text;
  }

  /** The answer with this id; the agent's own interjections have none. */
  answer(turnId) {
    let answer = this.answers.get(turnId);
    if (!answer || (turnId === null && answer.isOver)) {
      answer = new Answer();
      this.answers.set(turnId, answer);
      this.add(answer.element);
    }
    return answer;
  }

  /** A newer request came: what was not even begun is never spoken. */
  withdraw() {
    for (const [turnId, answer] of this.answers) {
      if (answer.isOver) continue;
      if (answer.text) answer.cut("Never heard: you had more to say.");
      else this.drop(turnId, answer);
    }
  }

  drop(turnId, answer) {
    answer.element.remove();
    this.answers.delete(turnId);
  }

  finishTurn(fact) {
    const answer = this.answer(fact.turn_id);
    if (!answer.text.trim()) this.drop(fact.turn_id, answer);
    return fact.text.trim() ? `Agent: ${fact.text}` : "";
  }

  callTool(fact) {
    const result = make("span", "result", "…");
    const shown = make("li", "tool", make("code", "", `${fact.name}(${fact.arguments})`), result);
    this.tools.set(fact.tool_call_id, result);
    this.add(shown);
  }

  answerTool(fact) {
    const result = this.tools.get(fact.tool_call_id);
    if (!result) return;
    result.textContent = fact.content;
    result.classList.toggle("bad", fact.is_successful === false);
  }

  /** The call is over: nothing more comes. */
  end() {
    for (const [turnId, answer] of this.answers) {
      if (answer.isOver) continue;
      if (answer.text) answer.cut("The call ended here.");
      else this.drop(turnId, answer);
    }
  }
}

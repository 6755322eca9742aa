// What a call begins with: read from the form, checked, and remembered for the next visit.

import { $, all } from "./dom.js";

const KEPT = ["from", "to", "direction", "speed", "variables", "more"];
const STORE = "cuebox.playground";

/** The message that starts a call. Throws an Error for people to read, after its field was shown. */
export function startMessage() {
  const variables = readObject("variables", "Variables");
  const details = readObject("more", "Other call details");
  const [from, to] = [$("from").value.trim(), $("to").value.trim()];
  if (from || to) Object.assign(details, { call_type: "phone_call", direction: $("direction").value });
  if (from) details.from_number = from;
  if (to) details.to_number = to;
  if (Object.keys(variables).length) details.retell_llm_dynamic_variables = variables;
  remember();
  return { agent: $("agent").value, model: chosenModel(), words_per_second: Number($("speed").value), details };
}

export const chosenModel = () => document.querySelector("input[name=model]:checked").value;

function readObject(id, name) {
  const text = $(id).value.trim();
  let value = {};
  try {
    value = text ? JSON.parse(text) : {};
  } catch (error) {
    fail(id, `${name} are not JSON: ${error.message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    fail(id, `${name} are one JSON object: names and values in { }.`);
  }
  return value;
}

function fail(id, sentence) {
  $("details").open = true;
  $(id).setAttribute("aria-invalid", "true");
  $(id).focus();
  throw new Error(sentence);
}

export function forgetMistakes() {
  for (const field of all("#setup [aria-invalid]")) field.removeAttribute("aria-invalid");
  $("setup-trouble").textContent = "";
}

/** The agents that can be called, as the service told them. */
export function offer(hello) {
  const chosen = $("agent").value;
  $("agent").replaceChildren(...hello.agents.map((name) => new Option(name, name, false, name === chosen)));
  $("agent-field").hidden = hello.agents.length < 2;
  const note = () => {
    $("who").textContent = hello.agents.length < 2 ? $("agent").value : "";
    const isMute = hello.without_model.includes($("agent").value);
    $("own-note").textContent = isMute
      ? "No key is set, so it reads out what its knowledge says."
      : "As your callers would hear it.";
  };
  $("agent").onchange = note;
  note();
}

export function recall() {
  const show = () => ($("speed-shown").textContent = `${Number($("speed").value).toFixed(1)} words/s`);
  $("speed").addEventListener("input", show);
  try {
    for (const [id, value] of Object.entries(JSON.parse(localStorage.getItem(STORE) ?? "{}"))) {
      if (KEPT.includes(id)) $(id).value = value;
    }
  } catch {
    // Nothing is remembered where the browser keeps nothing.
  }
  show();
}

function remember() {
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(KEPT.map((id) => [id, $(id).value]))));
  } catch {
    // The same.
  }
}

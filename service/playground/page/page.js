// The playground: what the page shows in which state, and what its controls do.

import { Conversation } from "./conversation.js";
import { $, all } from "./dom.js";
import { clearFrames, showFrame } from "./frames.js";
import { Line } from "./line.js";
import { chosenModel, forgetMistakes, offer, recall, startMessage } from "./setup.js";
import { Ears, Mouth, canListen, canSpeak } from "./voice.js";
import { Turns } from "./waterfall.js";

const TYPE_EVERY_MS = 150;
const CUT_IN = "Wait, please.";
const ENDS = {
  user_hangup: "You hung up.",
  agent_hangup: "The agent hung up.",
  call_transfer: "The caller was put through to somebody else.",
  error_llm_websocket_open: "The line broke, and the service did not take it again.",
  error_llm_websocket_lost_connection: "The service stopped to answer pings.",
};

const conversation = new Conversation();
const turns = new Turns();
const mouth = new Mouth();
let state = "ready"; // ready, calling, live, over
let began = 0;
let callId = "";

const line = new Line(hear, (isThere) => {
  $("gone").hidden = isThere;
  document.body.classList.toggle("is-gone", !isThere);
  if (!isThere && (state === "live" || state === "calling")) over("", "The service went away, and the call with it.");
  if (isThere && $("frames").open) line.tell("frames", { on: true });
  showState();
});

// What the service tells.

function hear(message) {
  switch (message.kind) {
    case "hello":
      return offer(message);
    case "call_began":
      callId = message.call_id;
      return showState(`Calling ${message.agent} …`);
    case "step":
      return step(message);
    case "turn":
      if (message.call_id === callId) turns.show(message.facts, conversation.callerSaid);
      return undefined;
    case "frame":
      return showFrame(message);
    case "call_over":
      return over(message.reason, message.trouble);
    case "trouble":
      return trouble(message.text);
    default:
      return undefined;
  }
}

function step({ what, fact }) {
  if (state !== "live" && what === "line_opened") goLive();
  if (what === "chunk_arrived") mouth.add(fact.text);
  if (what === "turn_finished") mouth.finish();
  if (what === "speech_cut" || what === "turn_asked") mouth.hush();
  const told = conversation.show(what, fact);
  if (told) $("told").textContent = told;
}

function trouble(text) {
  if (state === "calling") {
    state = "ready"; // it was not even begun
    showState();
    $("setup-trouble").textContent = text;
    $("details").open = true;
  } else {
    $("trouble").textContent = text;
  }
}

// The states of the page.

function showState(words = "") {
  document.body.dataset.state = state;
  $("setup").hidden = state !== "ready" && state !== "calling";
  $("said").hidden = state === "ready" || state === "calling";
  $("controls").hidden = state !== "live";
  $("over").hidden = state !== "over";
  for (const field of all("#setup button, #setup input, #setup select, #setup textarea")) field.disabled = state === "calling";
  const isGone = document.body.classList.contains("is-gone");
  const usual = { ready: "Ready", calling: "Calling …", live: "On the line", over: "The call is over" };
  $("status").textContent = isGone ? "The service is gone" : words || usual[state];
}

function start(event) {
  event?.preventDefault();
  forgetMistakes();
  $("trouble").textContent = "";
  let message;
  try {
    if (!line.isThere) throw new Error("The service is gone: start it, and then the call.");
    message = startMessage();
  } catch (error) {
    state = "ready";
    showState();
    $("setup-trouble").textContent = error.message;
    return;
  }
  conversation.clear();
  turns.clear();
  clearFrames();
  mouth.pace = message.words_per_second;
  const isStandIn = chosenModel() === "stand-in";
  $("moods").hidden = !isStandIn;
  $("own-hint").hidden = isStandIn;
  document.querySelector("input[name=mood][value=normal]").checked = true;
  state = "calling";
  showState();
  line.tell("start", message);
}

function goLive() {
  state = "live";
  began = Date.now();
  showState();
  $("words").value = "";
  $("words").focus();
}

function over(reason, why) {
  ears.stop();
  mouth.hush();
  if (state === "calling") {
    state = "ready";
    showState();
    $("setup-trouble").textContent = why;
    return;
  }
  state = "over";
  conversation.end();
  $("why").textContent = why || ENDS[reason] || `The call ended: ${reason.replaceAll("_", " ")}.`;
  conversation.note($("why").textContent);
  showState();
  $("again").focus();
}

setInterval(() => {
  const seconds = Math.floor((Date.now() - began) / 1000);
  $("clock").textContent = state === "live" ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
}, 500);

// The caller.

let typedAt = 0;
let typing;

function type(text) {
  clearTimeout(typing);
  const send = () => {
    typedAt = Date.now();
    mouth.hush();
    line.tell("type", { text });
  };
  if (!text.trim()) return;
  const wait = typedAt + TYPE_EVERY_MS - Date.now();
  if (wait <= 0) send();
  else typing = setTimeout(send, wait);
}

function say(text) {
  clearTimeout(typing);
  $("trouble").textContent = "";
  mouth.hush();
  conversation.say(text);
  line.tell("say", { text });
  $("words").value = "";
}

const ears = new Ears({
  typed: (text) => {
    $("words").value = text;
    type(text);
  },
  said: say,
  changed: (isOn) => {
    $("talk").setAttribute("aria-pressed", String(isOn));
    $("talk-word").textContent = isOn ? "Listening …" : "Talk";
  },
  failed: (sentence) => ($("trouble").textContent = sentence),
});

async function talk() {
  if (!canListen) {
    $("trouble").textContent = "This browser cannot turn speech into text. You can type instead.";
  } else if (ears.isOn) {
    ears.stop();
  } else if (await mayListen()) {
    listen();
  } else {
    $("ask").hidden = false;
    $("allow").focus();
  }
}

async function mayListen() {
  try {
    return (await navigator.permissions.query({ name: "microphone" })).state === "granted";
  } catch {
    return false;
  }
}

function listen() {
  $("ask").hidden = true;
  if (canSpeak) mouth.isOn = $("aloud").checked = true;
  mouth.hush();
  ears.keeps = $("keep").checked;
  ears.listen();
}

// The controls.

const ACTS = {
  interrupt: () => say(CUT_IN),
  remind: () => line.tell("remind"),
  drop: () => line.tell("drop"),
  "hang-up": () => line.tell("hang_up"),
  talk,
};
const SHORTCUTS = { KeyM: "talk", KeyR: "remind", KeyX: "drop", KeyH: "hang-up" };

for (const [id, act] of Object.entries(ACTS)) {
  $(id).onclick = () => {
    $("trouble").textContent = "";
    act();
  };
}
$("setup").onsubmit = start;
$("again").onclick = start;
$("change").onclick = () => {
  state = "ready";
  showState();
  $("details").open = true;
  $("details").querySelector("summary").focus();
};
$("retry").onclick = () => line.dial();
$("words").oninput = () => type($("words").value);
$("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = $("words").value.trim();
  if (text) say(text);
};
$("keypad").onsubmit = (event) => {
  event.preventDefault();
  const digits = $("digits").value.replace(/\s/g, "");
  if (!/^[0-9*#]{1,32}$/.test(digits)) {
    $("trouble").textContent = "Keys are 0 to 9, * and #.";
    return;
  }
  $("trouble").textContent = "";
  conversation.note(`You pressed ${digits}.`);
  conversation.callerSaid = `pressed ${digits}`;
  line.tell("press", { digits });
  $("digits").value = "";
};
$("allow").onclick = listen;
$("refuse").onclick = () => {
  $("ask").hidden = true;
  $("words").focus();
};
$("keep").onchange = () => {
  ears.keeps = ears.isOn && $("keep").checked;
};
$("aloud").onchange = () => {
  mouth.isOn = $("aloud").checked;
  if (!mouth.isOn) mouth.hush();
};
for (const mood of all("input[name=mood]")) mood.onchange = () => line.tell("model", { mood: mood.value });
$("frames").ontoggle = () => {
  clearFrames();
  line.tell("frames", { on: $("frames").open });
};
document.addEventListener("keydown", (event) => {
  if (state !== "live") return;
  if (event.key === "Escape" && !event.isComposing) {
    if ($("ask").hidden) ACTS.interrupt();
    else $("refuse").click();
  } else if (event.altKey && !event.ctrlKey && !event.metaKey) {
    const target = event.code === "KeyK" ? $("digits") : $(SHORTCUTS[event.code]);
    if (!target) return;
    if (target === $("digits")) target.focus();
    else target.click();
  } else return;
  event.preventDefault();
});

$("keep-field").hidden = !canListen;
$("aloud-field").hidden = !canSpeak;
recall();
showState();

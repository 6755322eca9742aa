// Raw frames, on demand: the latest, each in a line that opens.

import { $, follow, make } from "./dom.js";

const MOST_FRAMES = 200;
const KIND = /"(?:interaction|response)_type":"(\w+)",?/;

export const clearFrames = () => $("frame-list").replaceChildren();

export function showFrame({ at, is_from_service: isOurs, text, cut }) {
  const arrow = make("span", isOurs ? "ours" : "theirs", isOurs ? "→" : "←");
  arrow.setAttribute("aria-label", isOurs ? "from the service" : "from the platform");
  arrow.setAttribute("role", "img");
  const kind = make("b", "", text.match(KIND)?.[1] ?? "?");
  const line = make("summary", "", make("time", "", at.toFixed(3)), arrow, kind, make("code", "", text.replace(KIND, "").slice(0, 400)));
  const frame = make("details", "", line);
  frame.addEventListener("toggle", () => frame.append(make("pre", "", cut ? `${text}\n… and ${cut} characters more` : pretty(text))), { once: true });
  const list = $("frame-list");
  follow(list, () => {
    list.append(make("li", "", frame));
    if (list.childElementCount > MOST_FRAMES) list.firstElementChild.remove();
  });
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

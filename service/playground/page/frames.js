// Raw frames, on demand: the latest.

import { $, follow, make } from "./dom.js";

const MOST_FRAMES = 200;

export const clearFrames = () => $("frame-list").replaceChildren();

export function showFrame({ at, is_from_service: isOurs, text, cut }) {
  const arrow = make("span", isOurs ? "ours" : "theirs", isOurs ? "→" : "←");
  arrow.setAttribute("aria-label", isOurs ? "from the service" : "from the platform");
  arrow.setAttribute("role", "img");
  const rest = cut ? make("em", "", ` … and ${cut} characters more`) : "";
  const row = make("li", "", make("time", "", at.toFixed(3)), arrow, make("code", "", text, rest));
  const list = $("frame-list");
  follow(list, () => {
    list.append(row);
    if (list.childElementCount > MOST_FRAMES) list.firstElementChild.remove();
  });
}

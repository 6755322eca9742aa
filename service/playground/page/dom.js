// Short names for what every module does.

export const $ = (id) => document.getElementById(id);
export const all = (selector) => document.querySelectorAll(selector);

/** Make an element: `make("li", "caller", "Hello")`, with text, elements, or both inside. */
export function make(tag, className = "", ...inside) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...inside);
  return element;
}

/** Add to a list that scrolls, and follow its end unless somebody has scrolled away from it. */
export function follow(list, change) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  change();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

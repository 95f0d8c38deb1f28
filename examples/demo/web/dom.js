// Makes elements. What comes from elsewhere becomes text, never markup.

export const $ = (id) => document.getElementById(id);

/** An element with these properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A button that is disabled while `act` runs. */
export function button(text, act, properties = {}) {
  const one = make("button", { type: "button", ...properties }, text);
  one.addEventListener("click", async () => {
    if (one.ariaDisabled === "true") return;
    one.ariaDisabled = "true";
    try {
      await act();
    } finally {
      one.ariaDisabled = null;
    }
  });
  return one;
}

/** Dresses the circle with somebody's initial. */
export function face(element, name) {
  element.className = "face";
  element.dataset.name = name ?? "?";
  element.textContent = (name ?? "?").slice(0, 1).toUpperCase();
  element.ariaHidden = "true";
  return element;
}

/** alice as Alice. */
export const proper = (name) => name.slice(0, 1).toUpperCase() + name.slice(1);

export const count = (number) => number.toLocaleString("en");

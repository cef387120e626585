// Facts of any depth, as lists of names and values; URLs are links.

import { el } from "./dom";
import { number } from "./format";

/** An object as a list of its names and values. */
export function factList(facts: Record<string, unknown>): HTMLElement {
  const rows = Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, factOf(value))]);
  return el("dl", { class: "facts" }, ...rows);
}

/** A value of JSON as an element. */
export function factOf(value: unknown): Node {
  if (value === null || value === undefined) return el("span", { class: "faint" }, "none");
  if (typeof value === "number") return text(number(value));
  if (typeof value === "boolean") return text(value ? "yes" : "no");
  if (typeof value === "string") return linked(value);
  if (Array.isArray(value)) {
    const simple = value.every((one) => one === null || typeof one !== "object");
    if (simple) return text(value.length > 40 ? `${value.slice(0, 40).join(", ")} … (${value.length})` : value.join(", "));
    return el("div", {}, ...value.slice(0, 100).map((one) => factOf(one)));
  }
  return factList(value as Record<string, unknown>);
}

/** A text whose addresses of the web can be followed; no other scheme is made a link. */
export function linked(said: string): Node {
  const made = el("span", { class: "text" });
  for (const part of said.split(/(https?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;])/)) {
    if (/^https?:\/\//.test(part)) made.append(el("a", { href: part, rel: "noopener noreferrer", target: "_blank" }, part));
    else made.append(part);
  }
  return made;
}

function text(said: string): Node {
  return document.createTextNode(said);
}

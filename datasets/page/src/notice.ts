// Notices: what is not shown, and why.

import { byId, el } from "./dom";
import { explain } from "./failure";

/** Adds a line above everything; the same one only once. */
export function notice(text: string, kind: "note" | "error" = "note"): void {
  const host = byId("notices");
  if ([...host.children].some((child) => child.textContent === text)) return;
  host.append(el("p", { class: `notice ${kind}` }, text));
}

/** What stands in the place of something that cannot be shown. */
export function failed(error: unknown, retry?: () => void): HTMLElement {
  const { message, mend } = explain(error);
  const again = retry && el("button", { type: "button", onclick: () => retry() }, "Try again");
  const said = el("p", {}, el("strong", {}, ...coded(message)), " ", ...coded(mend));
  return el("div", { class: "notice error", role: "alert" }, said, again);
}

/** A sentence in which what stands between backticks is code. */
function coded(text: string): (string | HTMLElement)[] {
  return text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));
}

/** Shows a failure in `host` instead of what should be there. */
export async function shownIn(host: Element, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    host.replaceChildren(failed(error, () => void shownIn(host, work)));
  }
}

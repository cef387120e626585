// Dark or light: as the system says, until the button says otherwise.

import { byId } from "./dom";

type Theme = "light" | "dark";

const KEY = "strongbax-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners: (() => void)[] = [];

/** Calls `then` whenever colours change: what is drawn on a canvas must be drawn anew. */
export function onTheme(then: () => void): void {
  listeners.push(then);
}

/** A colour of the style sheet, such as `--ink`. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function startTheme(): void {
  const button = byId("theme");
  apply(saved());
  button.addEventListener("click", () => {
    const next: Theme = current() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Storage may be forbidden; then the choice holds for this visit.
    }
    apply(next);
  });
  system.addEventListener("change", () => apply(saved()));

  function apply(theme: Theme | undefined): void {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    const dark = current() === "dark";
    button.textContent = dark ? "☀" : "☾";
    button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label")!;
    for (const listener of listeners) listener();
  }
}

function current(): Theme {
  return (document.documentElement.dataset.theme as Theme | undefined) ?? (system.matches ? "dark" : "light");
}

function saved(): Theme | undefined {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "dark" || theme === "light" ? theme : undefined;
  } catch {
    return undefined;
  }
}

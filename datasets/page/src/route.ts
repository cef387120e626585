// The part of the address behind `#`: which episode, leaf, step and filter are shown.

export interface Route {
  episode?: number;
  leaf?: string;
  step?: number;
  filter?: string;
}

export function readRoute(): Route {
  const parts = new URLSearchParams(location.hash.slice(1));
  const whole = (name: string): number | undefined => {
    const text = parts.get(name);
    return text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
  };
  return {
    episode: whole("episode"),
    leaf: parts.get("leaf") ?? undefined,
    step: whole("step"),
    filter: parts.get("filter") ?? undefined,
  };
}

/** Writes the address anew, without a step in the browser's history. */
export function writeRoute(change: Route): void {
  const route = { ...readRoute(), ...change };
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(route)) {
    if (value !== undefined && value !== "") parts.set(name, String(value));
  }
  const hash = parts.toString().replaceAll("%2F", "/");
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

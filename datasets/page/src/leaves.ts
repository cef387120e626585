// The section of the leaves: what a step has, and what its values look like.

import { el, whenSeen } from "./dom";
import { bytes, count, number, shape } from "./format";
import { explain } from "./failure";
import { itemBytes } from "./panel";
import type { Leaf, Vault } from "./vault";

const SAMPLE = 1 << 20; // bytes of a leaf that are looked at, before compression
const PLACES = 8; // of the recording that they are taken from
const BARS = 24;

interface Look {
  min: number;
  mean: number;
  max: number;
  bars?: number[];
  said: string;
}

/** Fills the section; what has to be read is read when it comes into sight. */
export function showLeaves(host: HTMLElement, vault: Vault): void {
  const columns = ["leaf", "role", "dtype", "shape", "codec", "min", "mean", "max", "values", "taken of"];
  const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col", class: /min|mean|max/.test(name) && "number" }, name)));
  const rows = vault.leaves.map((leaf) => rowOf(vault, leaf));
  const table = el("table", { class: "leaves" }, el("thead", {}, head), el("tbody", {}, ...rows));
  const step = vault.leaves.reduce((sum, leaf) => sum + itemBytes(leaf.dtype) * Math.max(1, leaf.width), 0);
  const said = `${count(vault.leaves.length, "leaf").replace("leafs", "leaves")}, ${bytes(step)} a step`;
  host.replaceChildren(el("h2", { id: "steps-title" }, "Steps"), el("p", { class: "said" }, said), el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Leaves" }, table));
}

function rowOf(vault: Vault, leaf: Leaf): HTMLElement {
  const looks = ["min", "mean", "max"].map((name) => el("td", { class: "number", "data-stat": name }));
  const bars = el("td");
  const said = el("td", { class: "faint" });
  const row = el(
    "tr",
    { "data-leaf": leaf.name },
    el("th", { scope: "row" }, leaf.label),
    el("td", {}, leaf.role ?? ""),
    el("td", {}, leaf.dtype),
    el("td", {}, shape(leaf.shape)),
    el("td", {}, leaf.codec),
    ...looks,
    bars,
    said,
  );
  const show = (look: Look) => {
    looks.forEach((cell, n) => (cell.textContent = number([look.min, look.mean, look.max][n]!)));
    if (look.bars) bars.replaceChildren(spark(look.bars));
    said.textContent = look.said;
  };
  const stored = storedLook(vault, leaf);
  if (stored) show(stored);
  else if (leaf.kind.as === "number" || leaf.kind.as === "bool") {
    whenSeen(row, () => {
      sampledLook(vault, leaf).then(
        (look) => look && show(look),
        (error: unknown) => (said.textContent = explain(error).message),
      );
    }, "50px");
  } else said.textContent = leaf.kind.as === "none" ? "not shown" : leaf.kind.as;
  return row;
}

/** What the card says under `stats`, as `vault.stats()` computes it: of all steps. */
function storedLook(vault: Vault, leaf: Leaf): Look | undefined {
  const all = vault.root.card.stats as Record<string, Record<string, unknown>> | undefined;
  const stats = all?.[leaf.name];
  if (!stats) return undefined;
  const list = (name: string): number[] => [stats[name]].flat(8).filter((value): value is number => typeof value === "number");
  const [low, high, means, counts] = [list("min"), list("max"), list("mean"), list("count")];
  if (!low.length || !high.length || !means.length) return undefined;
  const total = counts.reduce((a, b) => a + b, 0);
  const weighed = means.reduce((sum, mean, n) => sum + mean * (counts[n] ?? 1), 0) / (total || means.length);
  return { min: Math.min(...low), mean: weighed, max: Math.max(...high), said: "all steps" };
}

async function sampledLook(vault: Vault, leaf: Leaf): Promise<Look | undefined> {
  const { length } = vault.root;
  if (!length || !leaf.width) return undefined;
  const most = Math.max(1, Math.floor(SAMPLE / (itemBytes(leaf.dtype) * leaf.width)));
  const each = Math.max(1, Math.floor(most / PLACES));
  const whole = length * vault.streams <= most;
  const places = whole ? vault.streams : PLACES;
  const reads = Array.from({ length: places }, (_, n) => {
    const stream = whole ? n : n % vault.streams;
    const start = whole ? 0 : Math.floor((Math.max(0, length - each) * n) / (PLACES - 1));
    return vault.steps(leaf, stream, start, whole ? length : Math.min(length, start + each));
  });
  const parts = await Promise.all(reads);
  const steps = parts.reduce((sum, part) => sum + part.count, 0);
  const said = whole ? "all steps" : `a sample of ${number(steps)} of ${number(length * vault.streams)} steps`;
  return { ...lookOf(parts.map((part) => part.data)), said };
}

function lookOf(parts: ArrayLike<number>[]): Omit<Look, "said"> {
  let [min, max, sum, many] = [Infinity, -Infinity, 0, 0];
  const each = (then: (value: number) => void) => {
    for (const part of parts) for (let n = 0; n < part.length; n++) if (part[n] === part[n]) then(part[n]!);
  };
  each((value) => {
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    many += 1;
  });
  if (!many) return { min: NaN, mean: NaN, max: NaN };
  const bars = Array<number>(BARS).fill(0);
  const scale = max > min && Number.isFinite(max - min) ? BARS / (max - min) : 0;
  if (scale) each((value) => (bars[Math.min(BARS - 1, Math.floor((value - min) * scale))]! += 1));
  return { min, mean: sum / many, max, bars: scale ? bars : undefined };
}

/** A histogram in a line of text. */
function spark(bars: number[]): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${BARS * 4} 22`);
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(...bars);
  bars.forEach((many, n) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = many ? Math.max(1, (22 * many) / most) : 0;
    for (const [name, value] of Object.entries({ x: n * 4, y: 22 - height, width: 3, height })) bar.setAttribute(name, String(value));
    svg.append(bar);
  });
  return svg;
}

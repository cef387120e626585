// A table of any number of rows, of which only those in sight are elements.

import { el } from "./dom";
import { number } from "./format";
import type { Column, Episodes } from "./episodes";

const ROW = 32; // pixels; style.css has the same
const SPARE = 6; // rows beyond either edge
const LEAST: Record<string, number> = { id: 6, length: 7, ends: 13, stream: 8 }; // characters of a column
const TALLEST = 8e6; // pixels that every browser can scroll

export class Grid {
  readonly element: HTMLElement;
  private body: HTMLElement;
  private layer: HTMLElement;
  private spacer: HTMLElement;
  private headings = new Map<string, HTMLElement>();
  private rows: Uint32Array = new Uint32Array();
  private columns: Column[] = [];
  private active = -1;
  private waiting = false;

  constructor(
    private episodes: Episodes,
    private onsort: (column: string) => void,
    private onopen: (row: number, firm: boolean) => void,
  ) {
    this.layer = el("div", { class: "layer", role: "rowgroup" });
    this.spacer = el("div", { class: "spacer", "aria-hidden": "true" });
    this.body = el("div", { class: "grid-body", tabindex: 0, role: "grid", "aria-label": "Episodes" });
    this.element = el("div", { class: "grid" }, this.body);
    this.body.addEventListener("scroll", () => this.later());
    this.body.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.later()).observe(this.body);
    this.setColumns();
  }

  /** Makes the headings anew, when columns came. */
  setColumns(): void {
    this.columns = [...this.episodes.columns.values()];
    const least = this.columns.map(({ name }) => LEAST[name] ?? 10);
    const template = least.map((size, n) => (this.columns[n]!.name === "id" ? `${size}ch` : `minmax(${size}ch, 1fr)`));
    this.element.style.setProperty("--columns", template.join(" "));
    // With the gaps between the columns and what is left free at either side.
    this.element.style.setProperty("--wide", `calc(${least.reduce((a, b) => a + b, 0)}ch + ${8 * least.length + 24}px)`);
    const cells = this.columns.map((column, n) => this.heading(column, n));
    const head = el("div", { class: "row head", role: "row", "aria-rowindex": 1 }, ...cells);
    this.body.setAttribute("aria-colcount", String(this.columns.length));
    this.body.replaceChildren(el("div", { role: "rowgroup", class: "head-group" }, head), this.spacer, this.layer);
    this.draw();
  }

  /** Shows these rows, in this order. */
  setRows(rows: Uint32Array, sort: { column: string; descending: boolean }): void {
    this.rows = rows;
    this.body.setAttribute("aria-rowcount", String(rows.length + 1));
    for (const [name, cell] of this.headings) {
      const direction = sort.descending ? "descending" : "ascending";
      cell.setAttribute("aria-sort", name === sort.column ? direction : "none");
    }
    this.draw();
  }

  /** Marks the row of an episode and brings it into sight. */
  setActive(id: number, scroll: boolean): void {
    this.active = id;
    if (scroll) this.reveal(this.rows.indexOf(id), true);
    this.draw();
  }

  private heading(column: Column, n: number): HTMLElement {
    const sort = () => this.onsort(column.name);
    const button = el("button", { type: "button", onclick: sort }, column.name, el("span", { class: "arrow", "aria-hidden": "true" }));
    const cell = el("div", { class: classOf(column), role: "columnheader", "aria-colindex": n + 1, "aria-sort": "none" }, button);
    this.headings.set(column.name, cell);
    return cell;
  }

  private later(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  private get room(): number {
    return Math.max(ROW, this.body.clientHeight - ROW);
  }

  /** The row at the top, of a table that may be taller than a browser can scroll. */
  private get first(): number {
    const real = this.rows.length * ROW;
    const tall = Math.min(real, TALLEST);
    const most = tall - this.room;
    if (most <= 0) return 0;
    return ((Math.min(this.body.scrollTop, most) / most) * (real - this.room)) / ROW;
  }

  private draw(): void {
    this.spacer.style.height = `${Math.min(this.rows.length * ROW, TALLEST)}px`;
    const first = this.first;
    const start = Math.max(0, Math.floor(first) - SPARE);
    const stop = Math.min(this.rows.length, Math.ceil(first + this.room / ROW) + SPARE);
    const made: HTMLElement[] = [];
    for (let place = start; place < stop; place++) made.push(this.row(place));
    // From the top of the spacer to the first row that is drawn, at this place of the scroll bar.
    const top = Math.min(this.body.scrollTop, Math.max(0, this.spacer.offsetHeight - this.room)) - (first - start) * ROW;
    this.layer.style.transform = `translateY(${Math.round(top)}px)`;
    this.layer.replaceChildren(...made);
    const shown = this.layer.querySelector('[aria-selected="true"]');
    if (shown) this.body.setAttribute("aria-activedescendant", shown.id);
    else this.body.removeAttribute("aria-activedescendant");
  }

  private row(place: number): HTMLElement {
    const id = this.rows[place]!;
    const cells = this.columns.map((column, n) =>
      el("div", { class: classOf(column), role: "gridcell", "aria-colindex": n + 1 }, cellText(column, id)),
    );
    const row = el(
      "div",
      { class: "row", role: "row", id: `row-${id}`, "aria-rowindex": place + 2, "aria-selected": String(id === this.active) },
      ...cells,
    );
    row.addEventListener("click", () => this.onopen(id, true));
    const end = this.episodes.columns.get("ends")!.texts![id]!;
    row.dataset.end = end;
    return row;
  }

  private key(event: KeyboardEvent): void {
    if (event.target !== this.body) return;
    const at = this.rows.indexOf(this.active);
    const page = Math.max(1, Math.floor(this.room / ROW) - 1);
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at < 0 ? 0 : at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.rows.length - 1,
      Enter: at,
    };
    const next = moves[event.key];
    if (next === undefined || !this.rows.length) return;
    event.preventDefault();
    const place = Math.min(this.rows.length - 1, Math.max(0, next));
    this.reveal(place);
    this.setActive(this.rows[place]!, false);
    this.onopen(this.rows[place]!, event.key === "Enter");
  }

  /** Scrolls as far as need be for a row to be seen; to the upper third where it is to be found. */
  private reveal(place: number, found = false): void {
    if (place < 0) return;
    const first = this.first;
    const seen = this.room / ROW;
    if (place >= first && place + 1 <= first + seen) return;
    const wanted = found ? Math.max(0, place - seen / 3) : place < first ? place : place + 1 - seen;
    const real = this.rows.length * ROW;
    const most = Math.min(real, TALLEST) - this.room;
    this.body.scrollTop = real > this.room ? (wanted * ROW * most) / (real - this.room) : 0;
  }
}

function classOf(column: Column): string {
  return column.name === "ends" ? "cell ends" : column.numbers && !column.bool ? "cell number" : "cell";
}

function cellText(column: Column, id: number): string {
  if (column.texts) return column.texts[id]!;
  const value = column.numbers![id]!;
  return column.bool ? (value ? "yes" : "no") : Number.isNaN(value) ? "" : column.name === "id" ? String(value) : number(value);
}

// The section of the episodes: histograms, the filter, and the table; it says which episode is chosen.

import { el } from "./dom";
import { ENDS, type Episodes } from "./episodes";
import { explain } from "./failure";
import { number } from "./format";
import { Grid } from "./grid";
import { binsOf, Histogram } from "./histogram";
import { choose, sorted, withRange } from "./query";
import { readRoute, writeRoute } from "./route";

export class Table {
  private grid: Grid;
  private histograms: Histogram[] = [];
  private sort = { column: "id", descending: false };
  private chosen: Uint32Array = new Uint32Array();
  private shown: Uint32Array = new Uint32Array();
  private input: HTMLInputElement;
  private said: HTMLElement;
  private waiting = 0;

  constructor(
    host: HTMLElement,
    private episodes: Episodes,
    private onopen: (id: number, firm: boolean) => void,
  ) {
    this.grid = new Grid(
      episodes,
      (column) => this.sortBy(column),
      (id, firm) => this.open(id, firm),
    );
    this.input = el("input", {
      id: "filter",
      type: "search",
      spellcheck: "false",
      autocomplete: "off",
      placeholder: episodes.hasReturns ? "return>100 length<50 terminated" : "length<50 terminated",
      "aria-describedby": "filter-said",
      oninput: () => this.filter(),
    });
    this.said = el("p", { id: "filter-said", class: "said", role: "status" });
    host.replaceChildren(
      el("h2", { id: "table-title" }, "Episodes"),
      this.makeHistograms(),
      el("label", { class: "filter" }, el("span", {}, "Filter"), this.input),
      this.said,
      this.grid.element,
    );
    this.input.value = readRoute().filter ?? "";
    this.filter();
  }

  /** Takes up columns that were read later. */
  columnsCame(): void {
    this.grid.setColumns();
    this.filter();
  }

  /** The id of the row before or after an episode's, as the table is sorted and filtered. */
  beside(id: number, by: number): number | undefined {
    const at = this.shown.indexOf(id);
    return at < 0 ? this.shown[0] : this.shown[at + by];
  }

  /** The first row of the table as it is. */
  get first(): number | undefined {
    return this.shown[0];
  }

  mark(id: number): void {
    this.grid.setActive(id, true);
  }

  /** How many of the episodes have not ended. */
  private get running(): string {
    const many = this.episodes.ends.reduce((sum, end) => sum + Number(ENDS[end] === "running"), 0);
    return many ? `, ${number(many)} of them running` : "";
  }

  private makeHistograms(): HTMLElement {
    const host = el("div", { class: "histograms" });
    for (const name of ["return", "length"]) {
      const values = this.episodes.columns.get(name)!.numbers!;
      const bins = binsOf(values);
      if (!bins) continue;
      const histogram = new Histogram(name, values, bins, (range) => {
        this.input.value = withRange(this.input.value, name, range);
        this.filter();
      });
      this.histograms.push(histogram);
      host.append(histogram.element);
    }
    return host;
  }

  private filter(): void {
    const query = this.input.value.trim();
    try {
      this.chosen = choose(query, this.episodes);
      this.input.removeAttribute("aria-invalid");
    } catch (error) {
      this.input.setAttribute("aria-invalid", "true");
      this.said.textContent = explain(error).message;
      return;
    }
    const all = this.episodes.count;
    const some = this.chosen.length;
    this.said.textContent =
      all === 0
        ? "No episode has ended yet."
        : some === all
          ? `All ${number(all)} episodes${this.running}`
          : `${number(some)} of ${number(all)} episodes${some ? "" : ": nothing fits the filter"}`;
    for (const histogram of this.histograms) {
      histogram.update(this.chosen);
      histogram.mark(query.includes(histogram.element.dataset.column!));
    }
    writeRoute({ filter: query });
    this.order();
  }

  private sortBy(column: string): void {
    const again = this.sort.column === column;
    // Numbers are first asked for from the largest on.
    const descending = again ? !this.sort.descending : column !== "id" && !!this.episodes.columns.get(column)!.numbers;
    this.sort = { column, descending };
    this.order();
  }

  private order(): void {
    this.shown = sorted(this.chosen, this.episodes.columns.get(this.sort.column)!, this.sort.descending);
    this.grid.setRows(this.shown, this.sort);
  }

  /** Keys may run over many rows: only the one where they rest is opened. */
  private open(id: number, firm: boolean): void {
    clearTimeout(this.waiting);
    this.grid.setActive(id, false);
    this.waiting = setTimeout(() => this.onopen(id, firm), firm ? 0 : 120);
  }
}

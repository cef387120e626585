// The section of one episode: facts, player, pictures, and a panel a leaf.

import { el } from "./dom";
import { readAttributes, type Episode, type Episodes } from "./episodes";
import { count, number } from "./format";
import { Frames } from "./frames";
import { factList } from "./facts";
import { Moment } from "./moment";
import { shownIn } from "./notice";
import { Panel, type Scene } from "./panel";
import { layoutOf } from "./picture";
import { Player } from "./player";
import { writeRoute } from "./route";
import { onTheme } from "./theme";
import type { Leaf, Vault } from "./vault";

const STRETCH = 20000; // steps that are drawn at once
const OPEN = 6; // panels that are open at first
const FLAGS = ["terminated", "truncated", "done", "is_first", "is_last", "discount"];

export class EpisodeView {
  private leave = new AbortController();
  private scene?: Scene;
  private player?: Player;
  private panels: Panel[] = [];

  constructor(
    private host: HTMLElement,
    private vault: Vault,
    private episodes: Episodes,
    private beside: (id: number, by: number) => number | undefined,
    private onchange: (id: number) => void,
  ) {
    host.addEventListener("keydown", (event) => this.key(event));
    onTheme(() => {
      this.scene?.charts.forEach((chart) => chart.redraw());
      this.scene?.heats.forEach((heat) => heat.draw());
    });
  }

  /** Shows an episode; of a very long one the stretch that has `step`. */
  show(id: number, step = 0, leaf?: string): void {
    this.leave.abort();
    this.leave = new AbortController();
    this.player?.stop();
    this.scene?.charts.forEach((chart) => chart.destroy());
    const episode = this.episodes.episode(id);
    const final = episode.finalKnown && this.vault.leaves.some((one) => one.hasFinal);
    const moment = new Moment(Math.max(0, final ? episode.length : episode.length - 1));
    const start = Math.min(step, moment.last) - (Math.min(step, moment.last) % STRETCH);
    const stop = Math.min(episode.length, start + STRETCH);
    moment.to(step);
    this.scene = { vault: this.vault, episode, moment, start, stop, signal: this.leave.signal, charts: [], heats: [] };
    this.player = new Player(episode, moment);
    this.panels = episode.length ? this.ordered().map((one, n) => new Panel(this.scene!, one, this.opens(one, n, leaf))) : [];
    this.host.replaceChildren(
      this.heading(episode),
      this.facts(episode),
      episode.length ? this.player.element : el("p", { class: "said" }, "This episode has no steps."),
      this.pictures(),
      this.pager(episode, start, stop) ?? "",
      ...this.panels.map((panel) => panel.element),
      this.attributes(episode),
    );
    let waiting = 0;
    moment.listen(() => {
      clearTimeout(waiting);
      waiting = setTimeout(() => !this.leave.signal.aborted && writeRoute({ step: moment.step || undefined }), 200);
    });
    const panel = this.panels.find((one) => one.element.dataset.leaf === leaf);
    if (panel) requestAnimationFrame(() => panel.reveal());
  }

  private heading(episode: Episode): HTMLElement {
    const go = (by: number) => {
      const next = this.beside(episode.id, by);
      if (next !== undefined) this.onchange(next);
    };
    const button = (text: string, label: string, by: number) =>
      el("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: () => go(by) }, text);
    return el(
      "div",
      { class: "episode-head" },
      el("h2", { id: "episode-title" }, `Episode ${episode.id}`),
      el("span", { class: "badge", "data-end": episode.end }, episode.end),
      el("span", { class: "push" }),
      button("‹", "Episode before", -1),
      button("›", "Next episode", 1),
    );
  }

  private facts(episode: Episode): HTMLElement {
    const said = [count(episode.length, "step")];
    if (!Number.isNaN(episode.total)) said.unshift(`return ${number(episode.total)}`);
    if (this.vault.streams > 1) said.push(`stream ${episode.stream}`);
    if (episode.end === "cut") said.push("its end was not recorded");
    if (episode.end === "running") said.push("it goes on");
    return el("p", { class: "facts-line" }, said.join(" · "));
  }

  private pictures(): HTMLElement {
    const host = el("div", { class: "pictures" });
    const { episode, moment, signal } = this.scene!;
    if (!episode.length) return host;
    const colours = (leaf: Leaf): number => (layoutOf(leaf)!.channels > 1 ? 0 : layoutOf(leaf)!.tiles);
    for (const leaf of this.vault.leaves.filter(layoutOf).sort((a, b) => colours(a) - colours(b))) {
      host.append(new Frames(this.vault, leaf, episode, moment, signal).element);
    }
    return host;
  }

  /** Leaves that are no pictures: reward first, then what acts and is seen, flags last. */
  private ordered(): Leaf[] {
    const rank = (leaf: Leaf): number => {
      if (leaf.role === "reward") return 0;
      if (FLAGS.includes(leaf.role ?? "")) return 5;
      return /^action/.test(leaf.name) ? 1 : /^observation/.test(leaf.name) ? 2 : leaf.kind.as === "text" ? 3 : 4;
    };
    return this.vault.leaves.filter((leaf) => !layoutOf(leaf)).sort((a, b) => rank(a) - rank(b));
  }

  private opens(leaf: Leaf, place: number, wanted?: string): boolean {
    return leaf.name === wanted || (place < OPEN && !FLAGS.includes(leaf.role ?? ""));
  }

  /** Of a very long episode: which stretch is shown, and the way to the others. */
  private pager(episode: Episode, start: number, stop: number): HTMLElement | undefined {
    if (episode.length <= STRETCH) return undefined;
    const to = (step: number) => this.show(episode.id, step);
    const button = (text: string, label: string, step: number, off: boolean) =>
      el("button", { type: "button", class: "quiet", "aria-label": label, disabled: off, onclick: () => to(step) }, text);
    return el(
      "p",
      { class: "pager" },
      button("‹", "Steps before", start - STRETCH, start === 0),
      `The charts show steps ${number(start)} to ${number(stop - 1)} of ${number(episode.length)}`,
      button("›", "Steps behind", stop, stop >= episode.length),
    );
  }

  private attributes(episode: Episode): HTMLElement {
    const host = el("div", { class: "attributes" });
    void shownIn(host, async () => {
      const said = await readAttributes(this.vault, episode.id);
      if (Object.keys(said).length) host.replaceChildren(el("h3", {}, "Attributes"), factList(said));
    });
    return host;
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
    const pressing = event.key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName);
    if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !this.player) return;
    if (this.player.key(event)) event.preventDefault();
  }
}

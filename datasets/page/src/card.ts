// The card: what one should know about the dataset before one uses it.

import { copyButton, el } from "./dom";
import { factList, linked } from "./facts";
import { count, number } from "./format";
import type { Episodes } from "./episodes";
import { labelOf, type Vault } from "./vault";

type Card = Record<string, unknown>;

const TOP = ["dataset_id", "description", "citation", "baselines", "provenance", "stats"];
const NAMES: Record<string, string> = {
  author_email: "contact",
  algorithm_name: "algorithm",
  code_permalink: "code",
  env_spec: "environment",
  eval_env_spec: "environment for evaluation",
  ref_min_score: "score of a random policy",
  ref_max_score: "score of an expert",
  num_episodes_average_score: "episodes of these scores",
};

/** What the vault is called: by its card, else by its folder. */
export function titleOf(vault: Vault): string {
  const { dataset_id } = vault.root.card;
  if (typeof dataset_id === "string") return dataset_id;
  if (document.title !== "Vault") return document.title; // `strongbax view` writes the folder's name there
  const folder = vault.base.pathname.split("/").filter(Boolean).at(-1);
  return folder ? labelOf(folder) : "Vault";
}

/** The few lines under the title. */
export function summaryOf(vault: Vault, episodes: Episodes): HTMLElement {
  const { card, length } = vault.root;
  const chips: [string, string][] = [
    ["steps", number(length * vault.streams)],
    ["episodes", number(episodes.ended)],
  ];
  if (vault.streams > 1) chips.push(["streams", number(vault.streams)]);
  const environment = card.env_spec as Card | undefined;
  if (typeof environment?.id === "string") chips.push(["environment", environment.id]);
  if (typeof card.algorithm_name === "string") chips.push(["algorithm", card.algorithm_name]);
  if (typeof card.licence === "string") chips.push(["licence", card.licence]);
  const facts = el("dl", { class: "numbers" }, ...chips.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const description = typeof card.description === "string" && el("div", { class: "description" }, ...paragraphs(card.description));
  return el("div", {}, description, facts);
}

/** The whole card. */
export function cardOf(vault: Vault): HTMLElement[] {
  const { card, attributes, gaps } = vault.root;
  const parts: (HTMLElement | null)[] = [el("h2", { id: "card-title" }, "About this dataset")];
  parts.push(typeof card.citation === "string" ? citation(card.citation) : null);
  parts.push(use(vault));
  const rest = Object.entries(card).filter(([name]) => !TOP.includes(name));
  if (rest.length) parts.push(part("Facts", factList(Object.fromEntries(rest.map(([n, v]) => [NAMES[n] ?? n, v])))));
  parts.push(baselines(card.baselines));
  if (card.provenance && typeof card.provenance === "object") parts.push(part("Made of", factList(card.provenance as Card)));
  if (Object.keys(attributes).length) parts.push(part("Attributes of the vault", factList(attributes)));
  if (gaps.length) parts.push(el("p", { class: "said" }, `The recording has ${count(gaps.length, "gap")}; no episode spans one.`));
  if (!Object.keys(card).length) parts.push(el("p", { class: "said" }, "The vault has no card: nobody has described it yet."));
  return parts.filter((one) => one !== null);
}

function citation(text: string): HTMLElement {
  return part("Citation", el("div", { class: "code" }, copyButton(text, "the citation"), el("pre", { tabindex: 0, id: "citation" }, text)));
}

function use(vault: Vault): HTMLElement {
  const { base } = vault;
  const local = /^(127\.0\.0\.1|localhost|\[::1\])$/.test(base.hostname);
  const place = local ? (titleOf(vault).split("/").at(-1) ?? "my") + ".vault" : base.href.replace(/\/$/, "");
  const code = `from strongbax import Vault\n\nwith Vault.open(${JSON.stringify(place)}) as vault:\n    first = vault[0]`;
  return part("Use", el("div", { class: "code" }, copyButton(code, "the code"), el("pre", { tabindex: 0 }, code)));
}

function baselines(said: unknown): HTMLElement | null {
  if (!Array.isArray(said) || !said.length) return null;
  const rows = (said as Card[]).map(({ name, score, source }) =>
    el("tr", {}, el("th", { scope: "row" }, String(name)), el("td", { class: "number" }, number(Number(score))), el("td", {}, linked(String(source)))),
  );
  const head = el("tr", {}, ...["algorithm", "return", "source"].map((name) => el("th", { scope: "col" }, name)));
  return part("Baselines", el("div", { class: "wide" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))));
}

function part(title: string, body: HTMLElement): HTMLElement {
  return el("div", { class: "part" }, el("h3", {}, title), body);
}

/** Markdown's paragraphs, emphasis and code; the rest stays as it is written. */
function paragraphs(text: string): HTMLElement[] {
  return text.split(/\n\s*\n/).map((block) => {
    const made = el("p");
    for (const piece of block.split(/(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`)/)) {
      if (/^\*\*.+\*\*$/.test(piece)) made.append(el("strong", {}, piece.slice(2, -2)));
      else if (/^\*.+\*$/.test(piece)) made.append(el("em", {}, piece.slice(1, -1)));
      else if (/^`.+`$/.test(piece)) made.append(el("code", {}, piece.slice(1, -1)));
      else made.append(linked(piece));
    }
    return made;
  });
}

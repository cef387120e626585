// The page of a vault: opens the vault beside it, and shows its card, episodes and steps.

import { cardOf, summaryOf, titleOf } from "./card";
import { registerCodecs } from "./codecs";
import { byId, el } from "./dom";
import { EpisodeView } from "./episode";
import { readEpisodes, readUserColumns, type Episodes } from "./episodes";
import { Failure } from "./failure";
import { bytes, count } from "./format";
import { showLeaves } from "./leaves";
import { failed, notice } from "./notice";
import { readRoute, writeRoute } from "./route";
import { traffic } from "./store";
import { Table } from "./table";
import { startTheme } from "./theme";
import { Vault } from "./vault";

/** The folder that the page lies in, or the one that `?vault=` names. */
function placeOfVault(): URL {
  if (location.protocol === "file:") {
    throw new Failure(
      "A browser reads no vault from a file.",
      "Open it with `strongbax view FOLDER`, or put the folder on a web server.",
    );
  }
  const named = new URLSearchParams(location.search).get("vault") ?? "./";
  const base = new URL(named.endsWith("/") ? named : `${named}/`, location.href);
  if (!/^https?:$/.test(base.protocol)) throw new Failure(`${base.href} is no address of the web.`);
  base.hash = base.search = "";
  return base;
}

async function start(): Promise<void> {
  registerCodecs();
  startTheme();
  showTraffic();
  try {
    const vault = await Vault.open(placeOfVault());
    const title = titleOf(vault);
    document.title = byId("bar-title").textContent = byId("title").textContent = title;
    sections();
    byId("card").replaceChildren(...cardOf(vault));
    byId("card").hidden = false;
    const episodes = await readEpisodes(vault);
    byId("summary").replaceChildren(summaryOf(vault, episodes));
    warn(vault);
    explore(vault, episodes);
    // Now that it has its place far below, it reads nothing until somebody scrolls there.
    byId("steps").hidden = false;
    showLeaves(byId("steps"), vault);
  } catch (error) {
    if (byId("title").textContent?.startsWith("Opening")) byId("title").textContent = "No vault to show";
    byId("notices").append(failed(error, () => location.reload()));
  } finally {
    byId("main").removeAttribute("aria-busy");
  }
}

function explore(vault: Vault, episodes: Episodes): void {
  byId("explore").hidden = false;
  const open = (id: number, firm: boolean) => {
    writeRoute({ episode: id, step: undefined, leaf: undefined });
    view.show(id);
    // On a narrow window the episode is below the table.
    if (firm && byId("episode").getBoundingClientRect().top > innerHeight - 120) byId("episode").scrollIntoView();
  };
  const table = new Table(byId("table"), episodes, open);
  const view = new EpisodeView(byId("episode"), vault, episodes, (id, by) => table.beside(id, by), (id) => {
    table.mark(id);
    open(id, false);
  });
  const follow = () => {
    const { episode, step, leaf } = readRoute();
    const id = episode ?? table.first;
    if (id === undefined) return byId("episode").replaceChildren(el("h2", { id: "episode-title" }, "No episode"), el("p", { class: "said" }, "There is none to show yet."));
    if (id >= episodes.count) {
      notice(`There is no episode ${id}: the last one is ${episodes.count - 1}.`, "error");
      return;
    }
    table.mark(id);
    view.show(id, step ?? 0, leaf);
  };
  addEventListener("hashchange", follow);
  follow();
  readUserColumns(vault, episodes).then(
    () => table.columnsCame(),
    (error: unknown) => byId("notices").append(failed(error)),
  );
}

/** What the vault has and the page does not show. */
function warn(vault: Vault): void {
  const { committed, length } = vault.root;
  if (committed > length) {
    const steps = count((committed - length) * vault.streams, "step");
    notice(`${steps} of this vault, and what was written since, are in its log, which is not shown here. Close the vault to see them.`);
  }
  vault.countParts().then(
    (many) => many && notice(`${count(many, "part")} of this vault, written by others, cannot be seen here. Pack the vault, and all is one.`),
    () => notice("The vault's manifest.json cannot be read."),
  );
  if (traffic.whole) notice("The server sends whole files instead of ranges of them: reading takes longer than it need.");
}

function sections(): void {
  const links = [["table", "Episodes"], ["steps", "Steps"], ["card", "About"]] as const;
  byId("nav").replaceChildren(
    ...links.map(([id, text]) => {
      const go = (event: Event) => {
        event.preventDefault();
        byId(id).scrollIntoView();
        byId(id).focus({ preventScroll: true });
      };
      return el("a", { href: `#${id}`, onclick: go }, text);
    }),
  );
  document.querySelector(".skip")!.addEventListener("click", (event) => {
    event.preventDefault();
    byId("table").focus();
  });
}

function showTraffic(): void {
  traffic.onchange = () => {
    byId("traffic").textContent = `${bytes(traffic.bytes)} read in ${count(traffic.requests, "request")}.`;
  };
}

void start();

// Builds the page: one HTML file that holds style, script and licences, and asks nobody for anything else.
// `make page` runs it in .venv/page, where the sources are copied and the packages installed.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const BUNDLED = ["zarrita", "@zarrita/storage", "fzstd", "uplot"];

const result = await build({
  entryPoints: ["src/main.ts"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  write: false,
  charset: "utf8",
  legalComments: "none",
  // The vault's codecs are in src/codecs.ts; zarrita's own are ten times as large, and are never asked for.
  alias: { "numcodecs/blosc": "./src/none.ts", "numcodecs/lz4": "./src/none.ts", "numcodecs/zstd": "./src/none.ts" },
  metafile: true,
});
const style = await build({ entryPoints: ["src/style.css"], bundle: true, minify: true, write: false, charset: "utf8" });

// Neither may end its element early.
const script = result.outputFiles[0].text.trim().replaceAll("</script", "<\\/script");
const css = style.outputFiles[0].text.trim();
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const rest = "connect-src * data: blob:; img-src data: blob:; base-uri 'none'; form-action 'none'";
const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(css)}; ${rest}`;

const licences = BUNDLED.map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return { name, version, license };
});
const packages = Object.keys(result.metafile.inputs).filter((path) => path.startsWith("node_modules/"));
const unlisted = packages.filter((path) => !BUNDLED.some((name) => path.startsWith(`node_modules/${name}/`)));
if (unlisted.length) throw new Error(`Bundled without a licence that is shown: ${unlisted}`);
const texts = licences.map(({ name, version, license }) => {
  const text = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((file) => read(`node_modules/${name}/${file}`)).find(Boolean);
  if (!text) throw new Error(`${name} has no licence to show`);
  return `${name} ${version} (${license})\n\n${text.trim()}`;
});
const escaped = texts.join("\n\n\n").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
// Of all that the page is made of, so that a test can tell a page that is older than its sources.
const sources = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"].concat(
  readdirSync("src").map((name) => `src/${name}`),
);
const digest = createHash("sha256");
for (const name of sources.sort()) digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
const holes = { SOURCES: digest.digest("hex"), POLICY: policy, STYLE: css, SCRIPT: script, LICENCES: escaped };
const page = readFileSync("src/index.html", "utf8").replace(/\{\{(\w+)\}\}/g, (_, name) => holes[name]);
writeFileSync("index.html", page);
console.log(`index.html ${page.length} characters: script ${script.length}, style ${css.length}`);

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

// What is filtered, as text: `return>=100 length<50 terminated`. All of it must hold.

import { ENDS, type Column, type Episodes } from "./episodes";
import { Failure } from "./failure";

type Test = (row: number) => boolean;

const OPERATORS: Record<string, (a: number, b: number) => boolean> = {
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  "!=": (a, b) => a !== b,
  "=": (a, b) => a === b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
};
const TERM = /^(!?)([^<>=!]+?)(>=|<=|!=|==?|>|<)(.+)$/;

/** The words of a query; quotes keep spaces. */
export function wordsOf(query: string): string[] {
  const words = query.replace(/\s*(>=|<=|!=|==?|>|<)\s*/g, "$1").match(/(?:"[^"]*"|[^\s,&])+/g) ?? [];
  return words.filter((word) => word.toLowerCase() !== "and");
}

/** Rows of the table that a query chooses. Throws a Failure that says which word is not understood. */
export function choose(query: string, episodes: Episodes): Uint32Array {
  const tests = wordsOf(query).map((word) => testOf(word, episodes));
  const chosen = new Uint32Array(episodes.count);
  let count = 0;
  for (let row = 0; row < episodes.count; row++) if (tests.every((test) => test(row))) chosen[count++] = row;
  return chosen.slice(0, count);
}

/** The query with `name` between two values, or without any bound on it. */
export function withRange(query: string, name: string, range?: [low: string, high: string]): string {
  const others = wordsOf(query).filter((word) => TERM.exec(word)?.[2] !== name);
  return [...others, ...(range ? [`${name}>=${range[0]}`, `${name}${range[1]}`] : [])].join(" ");
}

function testOf(word: string, episodes: Episodes): Test {
  const term = TERM.exec(word);
  if (term) return compare(term[2]!.replaceAll('"', ""), term[3]!, term[4]!.replaceAll('"', ""), episodes);
  const negated = word.startsWith("!");
  const bare = word.replace(/^!/, "").replaceAll('"', "");
  const test = named(bare, episodes);
  return negated ? (row) => !test(row) : test;
}

function named(word: string, episodes: Episodes): Test {
  const end = ENDS.indexOf(word.toLowerCase() as never);
  if (end >= 0) return (row) => episodes.ends[row] === end;
  if (/^\d+$/.test(word)) return (row) => row === Number(word);
  const flag = columnOf(word, episodes);
  if (flag?.bool) return (row) => flag.numbers![row] === 1;
  const columns = [...episodes.columns.values()].filter((column) => column.texts && column.name !== "ends");
  if (!columns.length) throw unknown(word, episodes);
  const wanted = word.toLowerCase();
  return (row) => columns.some((column) => column.texts![row]!.toLowerCase().includes(wanted));
}

function compare(name: string, operator: string, value: string, episodes: Episodes): Test {
  const column = columnOf(name, episodes);
  if (!column) throw unknown(name, episodes);
  if (column.texts) {
    const same = operator === "=" || operator === "==";
    if (!same && operator !== "!=") throw new Failure(`“${name}” is text: compare it with = or !=.`);
    return (row) => (column.texts![row] === value) === same;
  }
  const wanted = column.bool && /^(true|false|yes|no)$/i.test(value) ? Number(/^(true|yes)$/i.test(value)) : Number(value);
  if (Number.isNaN(wanted)) throw new Failure(`“${value}” is no number.`);
  const holds = OPERATORS[operator === "==" ? "=" : operator]!;
  return (row) => holds(column.numbers![row]!, wanted);
}

function columnOf(name: string, episodes: Episodes): Column | undefined {
  return episodes.columns.get(name) ?? [...episodes.columns.values()].find((c) => c.name.toLowerCase() === name.toLowerCase());
}

function unknown(word: string, episodes: Episodes): Failure {
  return new Failure(`“${word}” is no column. Try ${[...episodes.columns.keys()].slice(0, 4).join(", ")}, as in return>100.`);
}

/** Rows in the order of a column; ties and NaN keep the order of the table, NaN last. */
export function sorted(rows: Uint32Array, column: Column, descending: boolean): Uint32Array {
  const turn = descending ? -1 : 1;
  if (column.texts) {
    const collator = new Intl.Collator("en", { numeric: true });
    const { texts } = column;
    return Uint32Array.from(rows).sort((a, b) => turn * collator.compare(texts[a]!, texts[b]!) || a - b);
  }
  const numbers = column.numbers!;
  return Uint32Array.from(rows).sort((a, b) => {
    const x = numbers[a]!;
    const y = numbers[b]!;
    if (x !== x || y !== y) return x === x ? -1 : y === y ? 1 : a - b;
    return turn * (x - y) || a - b;
  });
}

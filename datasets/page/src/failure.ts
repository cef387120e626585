// A failure: what went wrong, in words for whoever looks at the page.

/** Something that the page cannot show, with what may mend it. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly mend = "",
  ) {
    super(message);
  }
}

/** What an error says, however deep it lies. */
export function explain(error: unknown): Failure {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if (at instanceof Failure) return at;
  if (error instanceof RangeError && /allocation|length/i.test(error.message)) {
    return new Failure("This is too large for the browser's memory.", "Choose fewer steps.");
  }
  return new Failure(error instanceof Error ? error.message : String(error));
}

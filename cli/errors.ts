/** What the `sheer` command tells the shell that called it. */
export const exitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  missingEnvironment: 3,
  interrupted: 130,
} as const;

/** An outcome with a sentence for the user: what happened and what to do. Shown without a stack trace. */
export class SheerError extends Error {
  readonly exitCode: number = exitCode.failure;
}

/** The command was called in a way that cannot work. */
export class UsageError extends SheerError {
  override readonly exitCode = exitCode.usage;
}

/** Something that has to be installed or built first is not there. */
export class MissingEnvironmentError extends SheerError {
  override readonly exitCode = exitCode.missingEnvironment;
}

/** The user pressed Ctrl-C, or the process was asked to end. */
export class InterruptedError extends SheerError {
  override readonly exitCode = exitCode.interrupted;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

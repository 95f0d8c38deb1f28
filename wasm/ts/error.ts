/**
 * What can go wrong. The codes up to `Store` are the same in every language (SPEC §15); the two in lower case are this package's own:
 * `internal` is a failure of the module itself (a bug, or no memory left), after which a fresh instance takes over, and `stale` is the
 * answer of a key or stream that lived in the instance that failed.
 */
export type ErrorCode =
  | "Malformed"
  | "Unsupported"
  | "InvalidKey"
  | "NotRecipient"
  | "Rejected"
  | "Truncated"
  | "TooLarge"
  | "Misuse"
  | "Replayed"
  | "Expired"
  | "Unsealed"
  | "Network"
  | "Store"
  | "internal"
  | "stale";

/**
 * The one error of this package. Programs ask for {@link SealwireError.code}, which never changes its meaning; the message is a fixed
 * sentence without any input data, safe to log.
 *
 * ```ts
 * try {
 *   await open(envelope, bob, context);
 * } catch (error) {
 *   if (error instanceof SealwireError && error.code === "NotRecipient") console.log("not for us");
 *   else throw error;
 * }
 * ```
 */
export class SealwireError extends Error {
  override readonly name = "SealwireError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** With `Unsealed`: the outer HTTP status of the answer, which is unprotected itself. */
  readonly status?: number;

  constructor(code: ErrorCode, message: string, options?: { status?: number | undefined; cause?: unknown }) {
    super(message, options && "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    if (options?.status !== undefined) this.status = options.status;
  }
}

/** A `Misuse`, found before the module was asked. */
export function misuse(what: string, cause?: unknown): SealwireError {
  return new SealwireError("Misuse", `misuse: ${what}`, cause === undefined ? undefined : { cause });
}

/** Tells an observer, which hears and does not decide: what it throws is dropped, also if it does so later. */
export function tell<E>(observer: ((event: E) => unknown) | undefined, event: E): void {
  (async () => observer?.(event))().catch(() => {});
}

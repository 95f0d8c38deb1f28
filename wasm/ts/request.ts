import { misuse } from "./error.js";
import { chosen, unsigned, wellFormed } from "./context.js";
import { type Identity, rawIdentity } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { run, scoped } from "./module.js";

/** How to sign a request. */
export interface SignRequestOptions {
  /** More fields to cover, in requests that have them, such as `if-match`. */
  readonly cover?: readonly string[] | undefined;
  /** Seconds since 1970; the clock's unless said. */
  readonly now?: number | undefined;
}

/**
 * Signs a request with a device's key, so that a gateway can tell whose it is without reading it: HTTP Message Signatures (RFC 9421,
 * Ed25519) and Content-Digest (RFC 9530).
 *
 * Covered are method, authority, path, query and body, and of the fields those that say what the request is or in whose name:
 * `content-type`, `content-encoding`, `content-digest`, `authorization`, `cookie`, `sealwire-exchange` and `sealwire-exchange-head`, each if
 * it is there. **Other fields are not**, unless `cover` names them. Valid for 300 s, with a nonce of its own. Source: SPEC "Origin".
 *
 * The body is read whole; the result is a new request, and `request` is used up. A page's script does not see the cookies that a browser
 * adds, so a verifier refuses the request if it gets some: send it with `credentials: "omit"`.
 *
 * Rejects with `Misuse` for a `no-cors` request, which cannot carry the fields, and with `Malformed` for fields that two readers could
 * understand differently.
 *
 * ```ts
 * await fetch(await signRequest(new Request(url, { method: "PUT", body: envelope }), alice));
 * ```
 */
export async function signRequest(request: Request, identity: Identity, options: SignRequestOptions = {}): Promise<Request> {
  options = chosen(options, "cover", "now");
  const body = new Uint8Array(await request.clone().arrayBuffer());
  const { origin, pathAndQuery } = target(request.url);
  const headers = new Headers(request.headers);
  // The module's memory never shrinks: a body gets in only on a page without TLS, which has no WebCrypto.
  const { subtle } = globalThis.crypto;
  const isHash = body.length > 0 && subtle !== undefined;
  const proof = isHash ? new Uint8Array(await subtle.digest("SHA-256", body)) : body;
  await run(() =>
    scoped((own) => {
      const head = own(new glue.Head(request.method, origin, pathAndQuery));
      headers.forEach((value, name) => head.add(name, value));
      head.sign(rawIdentity(identity), (options.cover ?? []).map(wellFormed), proof, isHash, seconds(options.now));
      for (const name of ["content-digest", "signature-input", "signature"]) {
        const value = head.field(name);
        if (value !== undefined) headers.set(name, value);
      }
    }),
  );
  const signed = new Request(request, body.length === 0 ? { headers } : { headers, body });
  if (!signed.headers.has("signature")) throw misuse("this request cannot carry a signature");
  return signed;
}

/** Origin and path with query of a URL, as `fetch` sends them: an empty query keeps its question mark. */
export function target(url: string): { origin: string; pathAndQuery: string } {
  const { origin, href, hash } = new URL(url);
  return { origin, pathAndQuery: href.slice(origin.length, href.length - hash.length) };
}

export function seconds(now: number | undefined): bigint {
  return unsigned(now ?? Math.floor(Date.now() / 1000));
}

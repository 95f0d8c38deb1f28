import { misuse } from "./error.js";
import { bytes, chosen, flag, listed, theirs, unsigned, wellFormed } from "./context.js";
import * as glue from "./glue/sealwire.js";
import { type Pin, Recipient, type Signer, rawRecipient } from "./recipient.js";

/**
 * What is done with the requests of an app, by origin and path. A URL that no rule covers is refused (`Misuse`), not sent in the clear.
 *
 * An unknown member anywhere is `Misuse`, so that a slip of the pen cannot leave something out. Source: SPEC §18, §20.
 *
 * ```ts
 * const policy: Policy = {
 *   services: { "https://api.example.com": { pins: ["sealwire-pin1…"] } },
 *   rules: [
 *     { origin: "https://api.example.com", path: "/notes/{id}", seal: { namespace: "notes", id: "id", to: [toBob], senders: [alice.signer] } },
 *     { origin: "https://api.example.com", path: "/assistant/{rest..}", exchange: true, streamed: true },
 *   ],
 * };
 * ```
 */
export interface Policy {
  /** Whose keys to believe for exchanges, by origin (`https://host`, with the port unless it is the scheme's own). */
  readonly services?: Readonly<Record<string, ServicePins | ServiceKeys>> | undefined;
  /** The rules. The first that covers a URL counts. */
  readonly rules: readonly Rule[];
}

/** Whose keys a client believes. The service publishes its keys itself, signed by its identity. */
export type ServicePins =
  | {
      /** The pins of the service's identities, which the app carries: a list, so that they can rotate. */
      readonly pins: readonly (Pin | string)[];
    }
  | {
      /**
       * Believes whatever key the network shows first, and afterwards only that identity and those that it names. **Whoever ends TLS at
       * that first moment can read everything.** Needs `lastSeen`.
       */
      readonly trustOnFirstUse: true;
    };

/** A service's keys, which the app has by another way. */
export interface ServiceKeys {
  /** A key configuration in the media type `application/ohttp-keys` (RFC 9458 §3). */
  readonly ohttpKeys: Uint8Array;
  /** Until when it is believed: Unix seconds. */
  readonly expires: number | bigint;
}

/** What is done with the requests to one kind of URL. It says `seal`, `exchange` or `inTheClear`; else it covers nothing (`Misuse`). */
export interface Rule {
  /** The origin: `https://host`, with the port unless it is the scheme's own. */
  readonly origin: string;
  /** The path. A segment `{name}` stands for any one segment that is not empty; `{name..}` at the end for all that follow. */
  readonly path: string;
  /** Seals bodies to people: the service only stores them. */
  readonly seal?: SealedResource | undefined;
  /** Seals request and response to the service: `true` is in place, with nothing shown but method, host and path. */
  readonly exchange?: boolean | InPlace | Tunnel | undefined;
  /** Exchanges in the chunked form: response bodies can be read while they arrive, without a limit. */
  readonly streamed?: boolean | undefined;
  /**
   * Says that the service refuses a second request with the same `Idempotency-Key`: then every request carries one, and is repeated by
   * itself if the service could not open it.
   */
  readonly idempotent?: boolean | undefined;
  /** Signs requests with the identity, so that a gateway can check who sent them. */
  readonly sign?: boolean | undefined;
  /**
   * **Sends and takes everything in the clear**: for what is public anyway. A path that the service might read as another one, such as
   * `/public/..%2Fnotes`, is not covered.
   */
  readonly inTheClear?: boolean | undefined;
}

/** What an exchange in place shows besides method, host and path. */
export interface InPlace {
  /**
   * Names of fields that are also written outside, where a gateway reads them: `authorization`, say. **Whoever ends TLS can then steal
   * them.** A field that the platform lets nobody set, such as `cookie` in browsers, is `Misuse` when a request has it.
   */
  readonly expose?: readonly string[] | undefined;
  /** Also writes the query outside, into every access log on the way. */
  readonly exposeQuery?: boolean | undefined;
  /** Lets requests without a body travel as POST when they are too long for a header field (6 KiB). */
  readonly postCarrier?: boolean | undefined;
}

/** Hides everything: a POST to one gateway resource of the same service (plain RFC 9458). */
export interface Tunnel {
  /** The URL of that resource. */
  readonly tunnel: string | URL;
}

/**
 * One kind of resource whose bodies are sealed to people and signed.
 *
 * Its context is the namespace and the id, never the URL. Recipients' keys are public, so whoever reads says whose writing they take:
 * without that a server could write a note of its own. Source: SPEC §20.
 */
export interface SealedResource {
  /** The namespace of its {@link SealContext}. */
  readonly namespace: string;
  /** The parameter of the rule's `path` that is the resource's id. */
  readonly id: string;
  /** Who can read what is written, unless a request says otherwise. */
  readonly to?: readonly Recipient[] | undefined;
  /** Whose writing is believed. Without any, nothing opens. */
  readonly senders?: readonly (Signer | string)[] | undefined;
  /**
   * Responses to GET are JSON arrays of objects, with the resource's id in the member `id` and the envelope's text form in the member
   * `envelope`. {@link sealedInfo} has the items; the response's own body is empty.
   */
  readonly list?: { readonly id: string; readonly envelope: string } | undefined;
}

/** The policy as it is now, with its lists, and refused if it has members that nobody knows, before anything is sent. */
export function chosenPolicy(policy: Policy): Policy {
  const { services = {}, rules } = chosen(policy, "services", "rules");
  if (!Array.isArray(rules)) throw misuse("a policy has a list of rules");
  return {
    services: Object.fromEntries(
      Object.entries(services).map(([origin, service]) => [origin, chosenService(service)]),
    ),
    rules: rules.map(chosenRule),
  };
}

/** One way, and no other beside it: pins would count for nothing beside trust on first use. */
function chosenService(given: ServicePins | ServiceKeys): ServicePins | ServiceKeys {
  const service = chosen(given, "pins", "trustOnFirstUse", "ohttpKeys", "expires");
  const { pins, trustOnFirstUse, ohttpKeys } = service as { pins?: readonly (Pin | string)[]; trustOnFirstUse?: boolean; ohttpKeys?: Uint8Array };
  if (Number(pins !== undefined) + Number(flag(trustOnFirstUse)) + Number(ohttpKeys !== undefined) !== 1) {
    throw misuse("a service has pins, keys, or trustOnFirstUse: true, and no two of them");
  }
  if (pins !== undefined) Object.assign(service, { pins: texts(pins) });
  if (ohttpKeys !== undefined) Object.assign(service, { ohttpKeys: new Uint8Array(bytes(ohttpKeys)) });
  return service;
}

function chosenRule(given: Rule): Rule {
  const rule = chosen(given, "origin", "path", "seal", "exchange", "streamed", "idempotent", "sign", "inTheClear");
  const { seal, exchange } = rule;
  for (const value of [rule.streamed, rule.idempotent, rule.sign, rule.inTheClear, typeof exchange === "object" ? true : exchange]) flag(value);
  const resource = seal && chosen(seal, "namespace", "id", "to", "senders", "list");
  const way = typeof exchange === "object" ? chosen(exchange, "tunnel", "expose", "exposeQuery", "postCarrier") : exchange;
  if (typeof way === "object" && "tunnel" in way && Object.keys(way).length > 1) throw misuse("a tunnel shows nothing that could be said");
  if (resource?.to !== undefined) Object.assign(resource, { to: listed(resource.to).map(reader) });
  if (resource?.senders !== undefined) Object.assign(resource, { senders: texts(resource.senders) });
  if (typeof way === "object" && "expose" in way && way.expose !== undefined) Object.assign(way, { expose: listed(way.expose) });
  return Object.assign(rule, {
    seal: resource && Object.assign(resource, { list: resource.list && chosen(resource.list, "id", "envelope") }),
    exchange: way,
  });
}

/** Their text forms. */
function texts(keys: readonly (Pin | Signer | string)[]): string[] {
  const list = listed(keys);
  return theirs(() => list.map(String));
}

/** The policy inside the module. */
export function rawPolicy({ services = {}, rules }: Policy): glue.Policy {
  const raw = new glue.Policy();
  for (const [origin, service] of Object.entries(services)) {
    if ("ohttpKeys" in service && service.ohttpKeys !== undefined) raw.serviceKeys(wellFormed(origin), service.ohttpKeys, unsigned(service.expires));
    else if ("trustOnFirstUse" in service && service.trustOnFirstUse === true) raw.service(wellFormed(origin));
    else raw.service(wellFormed(origin), (service as { pins: string[] }).pins);
  }
  for (const rule of rules) {
    const { seal, exchange, streamed = false, idempotent = false, sign = false, inTheClear = false } = rule;
    const one = new glue.Rule(wellFormed(rule.origin), wellFormed(rule.path), streamed, idempotent, sign, inTheClear);
    if (exchange !== undefined && exchange !== false) {
      const way: { tunnel?: string | URL } & InPlace = exchange === true ? Object.create(null) : exchange;
      if (way.tunnel !== undefined) one.tunnel(new URL(way.tunnel).href);
      else one.inPlace((way.expose ?? []).map(wellFormed), flag(way.exposeQuery), flag(way.postCarrier));
    }
    if (seal !== undefined) {
      const { namespace, id, to = [], senders = [], list } = seal;
      const members = list === undefined ? [] : [wellFormed(list.id), wellFormed(list.envelope)];
      one.seal(wellFormed(namespace), wellFormed(id), senders as readonly string[] as string[], members);
      for (const recipient of to) one.to(rawReader(recipient));
    }
    raw.rule(one);
  }
  return raw;
}

/** A recipient inside the module. */
export function rawReader(given: Recipient): glue.Recipient {
  return rawRecipient(reader(given));
}

function reader(given: Recipient): Recipient {
  if (given instanceof Recipient) return given;
  throw misuse("a recipient here is a Recipient (await Recipient.parse(text), identity.recipient), of this copy of the package");
}

// What this page asks of its own origin: what the app was shipped with, an account, and the console of the hostile server. Public
// things only: no key and no plaintext goes this way.

/** What an app carries when it is installed: where the API is, and whose signature its keys bear. */
export const shipped = await get("app.json");

/** Asks for an account. False if somebody with other keys has this name. */
export async function signUp(name, recipient, anew) {
  const response = await post("accounts", { name, recipient, anew });
  if (response.status === 409) return false;
  if (!response.ok) throw new Error(`the sign-up desk answered ${response.status}`);
  return true;
}

/** What the database holds. */
export const rows = () => get("console/rows");

/** The last lines of the access log. */
export const accessLog = () => get("console/log");

/** What a hostile server can do here. */
export const acts = () => get("console/acts");

/** Does one of them. Gives what the API refused at once, if it was about requests, or says why it cannot be done. */
export async function act(name, target) {
  return (await post(`console/acts/${name}`, target)).json();
}

/** Puts everything back. Gives the codes that the server's operator sees. */
export async function beHonest() {
  const response = await post("console/honest", {});
  return (await response.json()).refused;
}

async function get(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function post(path, body) {
  const headers = { "content-type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
}

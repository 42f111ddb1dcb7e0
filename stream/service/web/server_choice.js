// Which server the page sends its sound to: its own, or one of `?server=` that the operator has
// allowed. A token goes to its own only.

import { TurnstreamError } from "./turnstream.js";

/**
 * The server of the page's address: {url, host, isOwn}.
 * @param {Location} location of the page
 * @param {string[] | null} allowed other servers, as the page's own server lists them; null: it did
 *   not tell
 */
export function chooseServer({ protocol, host, origin, search }, allowed) {
  const own = `${protocol === "https:" ? "wss" : "ws"}://${host}`;
  const address = new URLSearchParams(search).get("server") ?? own;
  if (!URL.canParse(address) || !/^wss?:\/\/./i.test(address)) {
    throw new TurnstreamError("bad_address", address);
  }
  const asked = new URL(address);
  const isOwn = asked.origin.replace(/^ws/, "http") === origin;
  const isAllowed = ({ origin: other }) => (
    (allowed ?? []).some((server) => new URL(server).origin === other)
  );
  if (!isOwn && !isAllowed(asked)) throw new TurnstreamError("forbidden_server", asked.origin);
  // Without a user, a query or a fragment, which a link could smuggle in.
  return { url: `${asked.origin}${asked.pathname}`, host: asked.host, isOwn };
}

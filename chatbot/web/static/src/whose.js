// What a browser keeps for the person who uses the page: drafts and choices. Another person at the same browser starts
// without them; the theme stays, it is the browser's.
import { stored } from "./dom.js";

const WHO = "user";
const STAYS = new Set(["theme", "sidebar", WHO]);
const QUERY_CHARS = 1200; // of a way back: a server reads addresses of some thousands

/** Forget what is kept for whoever was here before. */
export function forgetAll() {
  stored((store) => {
    for (const name of Object.keys(store)) if (!STAYS.has(name)) store.removeItem(name);
    store.removeItem(WHO);
  });
}

/** This person is here now; what an earlier one left is forgotten. */
export function isNow(id) {
  const before = stored((store) => store.getItem(WHO));
  if (before && before !== id) forgetAll();
  stored((store) => store.setItem(WHO, id));
}

/** The page for logging in, which leads back here. */
export function loginPath() {
  const { pathname, search } = location;
  const asked = pathname.startsWith("/library") && search.length <= QUERY_CHARS ? search : "";
  return pathname === "/" ? "/login" : `/login?next=${encodeURIComponent(pathname + asked)}`;
}

/** Where to go after it: a page of this server, never an address that somebody else put there. */
export function wayBack(query = location.search) {
  const wanted = new URLSearchParams(query).get("next") ?? "";
  return /^\/(c\/[\w-]{1,100}|admin|library(\/\d{1,12}|\/document\/\d{1,12})?(\?[^#\s]*)?)$/.test(wanted) ? wanted : "/";
}

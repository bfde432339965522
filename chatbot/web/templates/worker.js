// Shows the page's shell when the server cannot be reached, so that the page itself can say so and wait for it.
// The network comes first, always; chats are never kept here. A new build brings a new worker, which drops the old shell.
const KEPT = "paddock-{{ build }}";
const SHELL = {{ shell | tojson }};

addEventListener("install", (event) => event.waitUntil(keepShell()));
addEventListener("activate", (event) => event.waitUntil(begin()));
addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  const isPage = mode === "navigate" && (pathname === "/" || /^\/(c|library)(\/|$)/.test(pathname));
  if (isPage) event.respondWith(networkFirst(event, "/"));
  else if (mode !== "navigate" && SHELL.includes(pathname)) event.respondWith(networkFirst(event, pathname));
});

async function keepShell() {
  const cache = await caches.open(KEPT);
  await cache.addAll(SHELL.map((path) => new Request(path, { cache: "no-cache", redirect: "error" })));
  await skipWaiting();
}

async function begin() {
  for (const name of await caches.keys()) {
    if (name.startsWith("paddock-") && name !== KEPT) await caches.delete(name);
  }
  await registration.navigationPreload?.enable();
  await clients.claim();
}

async function networkFirst(event, path) {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch (why) {
    const kept = await caches.match(path, { cacheName: KEPT });
    if (kept) return kept;
    throw why;
  }
}

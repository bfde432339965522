// Styles that come with a script that is fetched only when it is needed.
const coming = new Map();

/** Have a style of this build in force; the page goes on without it where it cannot be fetched. */
export function style(name) {
  if (!coming.has(name)) {
    const link = document.createElement("link");
    coming.set(name, new Promise((resolve) => { link.onload = link.onerror = resolve; }));
    link.rel = "stylesheet";
    link.href = new URL(`./${name}${new URL(import.meta.url).search}`, import.meta.url).href; // the same version as this script
    document.head.append(link);
  }
  return coming.get(name);
}

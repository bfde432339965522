// Styles that come with a script that is fetched only when it is needed.
const coming = new Map();

/** Have a style of this build in force. The page goes on without one that cannot be fetched, and tries it again with the
 *  next call. */
export function style(name) {
  if (!coming.has(name)) coming.set(name, fetched(name));
  return coming.get(name);
}

function fetched(name) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(`./${name}${new URL(import.meta.url).search}`, import.meta.url).href; // the same version as this script
  document.head.append(link);
  return new Promise((resolve) => {
    link.onload = resolve;
    link.onerror = () => {
      coming.delete(name);
      link.remove();
      resolve();
    };
  });
}

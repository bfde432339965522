// Runs before the first paint: the theme that the person chose and whether the chats are put away, so that nothing
// flashes up; and the worker that shows this page when the server is down. The content policy forbids it inside the page.
(() => {
  const root = document.documentElement;
  const scheme = document.querySelector('meta[name="color-scheme"]');
  const colours = [...document.querySelectorAll('meta[name="theme-color"]')].map((meta) => [meta, meta.content]);

  /** Use a theme: "light", "dark", or "" for the system's. */
  const use = (theme) => {
    const colour = { light: colours[0]?.[1], dark: colours[1]?.[1] }[theme];
    root.dataset.theme = theme;
    if (scheme) scheme.content = theme || "light dark";
    for (const [meta, own] of colours) meta.content = colour ?? own;
  };

  try {
    use(localStorage.getItem("theme") ?? "");
    root.dataset.side = localStorage.getItem("sidebar") ?? "";
  } catch {
    use(""); // the browser keeps nothing for this page: the system's theme
  }
  addEventListener("theme", ({ detail }) => use(detail)); // chosen on this page
  addEventListener("storage", ({ key, newValue }) => { if (key === "theme") use(newValue ?? ""); }); // in another tab
  if ("serviceWorker" in navigator) {
    addEventListener("load", () => navigator.serviceWorker.register("/worker.js").catch(() => {}));
  }
})();

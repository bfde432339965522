// Bundle the page: static/src -> static/build, with the licences of what is inside and a digest of what it was
// built from, so that a test without Node can tell when the bundle is older than its source.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const source = "static/src";
const target = "static/build";

const shared = {
  outdir: target,
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: ["es2020"],
  legalComments: "none",
};
// The page loads the second lot only when it needs it: finish.js imports these by their names.
const lazy = ["highlight.js", "math.js", "account.js", "mentions.js", "grounds.js", "library.js"];
const styles = ["grounds.css", "library.css"]; // come with the scripts of these names
const others = ["login.js", "login.css", "admin.js", "admin.css"]; // pages of their own, which have chat.css too
const built = [
  await build({
    ...shared,
    entryPoints: [join(source, "chat.js"), join(source, "chat.css")],
    external: lazy.map((name) => `./${name}`),
  }),
  await build({ ...shared, entryPoints: [...lazy, ...styles, ...others].map((name) => join(source, name)) }),
];

const packages = new Set(
  built
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .filter((path) => path.startsWith("node_modules/"))
    .map((path) => path.split("/").slice(1, path.startsWith("node_modules/@") ? 3 : 2).join("/")),
);
const licences = [...packages].sort().map((name) => {
  const about = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const file = readdirSync(`node_modules/${name}`).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(`node_modules/${name}/${file}`, "utf8").trim() : "(no licence file in the package)";
  return `${name} ${about.version} (${about.license})\n\n${text}\n`;
});
writeFileSync(join(target, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

const digest = createHash("sha256");
for (const name of readdirSync(source).sort()) digest.update(readFileSync(join(source, name)));
if (existsSync("package-lock.json")) digest.update(readFileSync("package-lock.json"));
writeFileSync(join(target, "source.sha256"), `${digest.digest("hex")}\n`);

// Bundle the page: static/src -> static/build (or the folder named), with the licences of what is inside and digests of
// what it was built from and of what was built, so that a test without Node can tell when the two do not belong together.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const source = "static/src";
const target = process.argv[2] ?? "static/build";

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

const sources = [...readdirSync(source).sort().map((name) => join(source, name)), "package-lock.json", "build.mjs"];
const digest = createHash("sha256");
for (const path of sources.filter(existsSync)) digest.update(readFileSync(path));
writeFileSync(join(target, "source.sha256"), `${digest.digest("hex")}\n`);

const made = built.flatMap(({ metafile }) => Object.keys(metafile.outputs)).map((path) => basename(path));
const lines = made.sort().map((name) => {
  const bytes = readFileSync(join(target, name));
  return `${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`; // as sha256sum writes and checks it
});
writeFileSync(join(target, "built.sha256"), lines.join(""));

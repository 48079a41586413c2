// Installs what Sheer needs on a Debian machine: Debian packages, npm packages and, to run the demonstration,
// Debian's kernel. Does nothing, quickly, when nothing is missing. Plain JavaScript, since it runs before tsx exists.
//
//     node setup.mjs build    what `npm run build` needs
//     node setup.mjs all      that, and what booting a PC in QEMU needs
//     node setup.mjs more     that, and the newer emulators of Debian 13, unpacked in a folder of their own

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));
const kernelFolder = join(root, ".cache", "kernel");
const trixieFolder = join(root, ".cache", "trixie");
const packages = JSON.parse(readFileSync(join(root, "cli/environment/packages.json"), "utf8"));

function fail(sentence) {
  console.error(`setup: ${sentence}`);
  process.exit(3);
}

function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...options });
  return result.status === 0;
}

function output(program, args) {
  return spawnSync(program, args, { cwd: root, encoding: "utf8" }).stdout ?? "";
}

function runAsRoot(program, args) {
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  if (process.getuid() === 0) return run(program, args, { env: environment });
  return run("sudo", ["--preserve-env=DEBIAN_FRONTEND", program, ...args], { env: environment });
}

let listsAreFresh = false;

function refreshPackageLists() {
  if (listsAreFresh) return;
  console.log("setup: reading Debian's package lists");
  if (!runAsRoot("apt-get", ["update", "-q"])) fail("apt-get update failed; check the network and try again.");
  listsAreFresh = true;
}

function missingDebianPackages(names) {
  const installed = output("dpkg-query", ["--show", "--showformat", "${Package} ${db:Status-Status}\n", ...names]);
  return names.filter((name) => !installed.split("\n").includes(`${name} installed`));
}

function installDebianPackages(groups) {
  const missing = missingDebianPackages(groups.flatMap((group) => packages[group]).map((entry) => entry.package));
  if (missing.length === 0) return;
  if (!existsSync("/usr/bin/apt-get")) fail(`this is not a Debian machine; install ${missing.join(", ")} by hand.`);
  refreshPackageLists();
  console.log(`setup: installing ${missing.join(" ")}`);
  if (!runAsRoot("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...missing]))
    fail(`apt-get could not install ${missing.join(", ")}; its message is above.`);
}

function npmPackagesAreInstalled() {
  const installedList = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installedList)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const installed = JSON.parse(readFileSync(installedList, "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === "" || entry.optional || installed[path]?.version === entry.version,
  );
}

function installNpmPackages() {
  if (npmPackagesAreInstalled()) return;
  console.log("setup: installing npm packages");
  if (!run("npm", ["ci", "--no-progress"])) fail("npm ci failed; its message is above.");
}

function kernelPackage() {
  const named = /Depends: (linux-image-\S+)/.exec(output("apt-cache", ["depends", "linux-image-amd64"]));
  return named?.[1];
}

function downloadKernel(folder) {
  const name = kernelPackage();
  if (name === undefined) return undefined;
  console.log(`setup: downloading ${name}`);
  // apt would complain that its own user may not write here, so the download stays ours.
  if (!run("apt-get", ["download", "-q", "-o", "APT::Sandbox::User=root", name], { cwd: folder })) return undefined;
  return readdirSync(folder).find((file) => file.endsWith(".deb"));
}

// The demonstration boots Debian's own kernel as it is packaged: unpacked beside the checkout's other caches, never
// installed on this machine.
function unpackKernel() {
  if (existsSync(join(kernelFolder, "release"))) return;
  const unfinished = `${kernelFolder}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  let archive = downloadKernel(unfinished);
  if (archive === undefined) {
    refreshPackageLists();
    archive = downloadKernel(unfinished);
  }
  if (archive === undefined) fail("Debian's kernel (linux-image-amd64) could not be downloaded; check the network.");
  if (!run("dpkg-deb", ["--extract", join(unfinished, archive), unfinished])) fail(`${archive} could not be unpacked.`);
  rmSync(join(unfinished, archive));
  const release = readdirSync(join(unfinished, "lib/modules"))[0];
  // depmod lives in sbin, which a user's PATH may lack.
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  if (!run("depmod", ["--basedir", unfinished, release], { env: { ...process.env, PATH: path } }))
    fail("depmod failed on Debian's kernel modules; its message is above.");
  writeFileSync(join(unfinished, "release"), `${release}\n`);
  rmSync(kernelFolder, { recursive: true, force: true });
  renameSync(unfinished, kernelFolder);
}

// Where this machine has its own Debian packages from.
function debianMirror() {
  const format = ["--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"];
  const lists = output("apt-get", ["indextargets", ...format, "Created-By: Packages"]);
  return /^Debian \w+ (\S+)$/m.exec(lists)?.[1];
}

// An apt that knows Debian 13 alone, and no installed packages: what it downloads is all that is needed to run a program.
function configureApt(folder) {
  let mirror = debianMirror();
  if (mirror === undefined) {
    refreshPackageLists();
    mirror = debianMirror();
  }
  if (mirror === undefined) fail("apt has no source of Debian packages; see sources.list(5).");
  for (const name of ["lists/partial", "archives/partial"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "sources.list"), `deb ${mirror} trixie main\n`);
  writeFileSync(join(folder, "status"), "");
  const settings = {
    "Dir::Etc::SourceList": "sources.list",
    "Dir::Etc::SourceParts": "none",
    "Dir::State": ".",
    "Dir::State::Status": "status",
    "Dir::Cache": ".",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${join(folder, value)}";`);
  const more = ['APT::Sandbox::User "root";', 'APT::Install-Recommends "false";', 'Acquire::Languages "none";'];
  writeFileSync(join(folder, "apt.conf"), [...lines, ...more, ""].join("\n"));
  return { ...process.env, APT_CONFIG: join(folder, "apt.conf") };
}

// Debian 13's emulators know what Debian 12's do not. They run from a folder, by the dynamic linker that they bring. If
// this is broken off, the next call goes on with what has been downloaded.
function unpackTrixie() {
  if (existsSync(trixieFolder)) return;
  const names = packages.trixie.map((entry) => entry.package);
  console.log(`setup: downloading ${names.join(", ")} of Debian 13, and what they need`);
  const apt = join(root, ".cache", "trixie.apt");
  const env = configureApt(apt);
  if (!run("apt-get", ["update", "-q"], { env }))
    fail("Debian 13's package lists could not be read; check the network.");
  if (!run("apt-get", ["install", "-q", "-y", "--download-only", ...names], { env }))
    fail("Debian 13's emulators could not be downloaded; apt's message is above.");
  const unfinished = `${trixieFolder}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  const archives = readdirSync(join(apt, "archives")).filter((file) => file.endsWith(".deb"));
  console.log(`setup: unpacking ${archives.length} packages`);
  for (const archive of archives) {
    if (!run("dpkg-deb", ["--extract", join(apt, "archives", archive), unfinished]))
      fail(`${archive} could not be unpacked.`);
  }
  renameSync(unfinished, trixieFolder);
  rmSync(apt, { recursive: true });
}

const purpose = process.argv[2];
const purposes = ["build", "all", "more"];
if (!purposes.includes(purpose)) fail(`say what for: ${purposes.map((name) => `node setup.mjs ${name}`).join(", ")}.`);
installDebianPackages(purpose === "build" ? ["build"] : ["build", "run"]);
installNpmPackages();
if (purpose !== "build") unpackKernel();
if (purpose === "more") unpackTrixie();

// firefox.js - Firefox, headless, with WebGPU on Mesa's software Vulkan. No program drives it: it opens a page of ours that
// asks the server what to run next.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./build.js";

const PROGRAM = process.env.QN_FIREFOX ?? "/usr/bin/firefox-esr";
const DRIVERS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
const PATIENCE = 120_000; // milliseconds
const PREFERENCES = {
  "dom.webgpu.enabled": true, // Firefox 153 has it off on Linux
  "gfx.webgpu.ignore-blocklist": true, // where Mesa's software driver is
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore", // no page about what is new
  "datareporting.policy.dataSubmissionEnabled": false,
  "app.normandy.enabled": false,
  "app.update.enabled": false,
};

/** Runs in the page. */
async function serveCalls() {
  const faults = [];
  addEventListener("error", ({ message }) => faults.push(message));
  addEventListener("unhandledrejection", ({ reason }) => faults.push(String(reason)));
  for (;;) {
    const { source, argument } = await (await fetch("/remote/next")).json();
    const answer = {};
    try {
      answer.value = await (0, eval)(`(${source})`)(argument);
    } catch (error) {
      answer.error = `${error}\n${error?.stack}`;
    }
    answer.faults = faults.splice(0);
    await fetch("/remote/answer", { method: "POST", body: JSON.stringify(answer) });
  }
}

/** A page that runs functions, as playwright's do. */
export class RemotePage {
  /** Errors that nobody caught. */
  faults = [];
  /** For serveFolder. */
  routes = {
    "/remote/": (_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end(`<!doctype html><title>remote</title><script type="module">(${serveCalls})();</script>`);
    },
    "/remote/next": (_, response) => {
      this.#take = (call) => response.end(JSON.stringify(call));
      this.#hand();
    },
    "/remote/answer": async (request, response) => {
      const { value, error, faults } = JSON.parse(Buffer.concat(await request.toArray()).toString());
      response.end();
      this.faults.push(...faults);
      if (error) this.#waiting?.reject(new Error(error));
      else this.#waiting?.resolve(value);
    },
  };
  /** What the page is to run; the page that waits for it; who waits for the answer; why none will come. */
  #call = null;
  #take = null;
  #waiting = null;
  #gone = null;

  #hand() {
    if (!this.#call || !this.#take) return;
    this.#take(this.#call);
    this.#call = this.#take = null;
  }

  /** One at a time. @param {Function} work of JSON to a promise of JSON: its text runs there @param {any} [argument] */
  evaluate(work, argument) {
    if (this.#gone) return Promise.reject(this.#gone);
    const late = setTimeout(() => this.gone(new Error("the page does not answer")), PATIENCE);
    const answer = new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
    this.#call = { source: String(work), argument };
    this.#hand();
    return answer.finally(() => clearTimeout(late));
  }

  /** Fails what is asked, and all that will be. @param {Error} why */
  gone(why) {
    this.#gone = why;
    this.#waiting?.reject(why);
  }
}

/** Mesa's software driver for the Vulkan loader, whatever else the machine has. */
export function softwareDriver() {
  const files = DRIVERS.filter(existsSync).flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)));
  const file = files.find((name) => /lvp.*\.json$/.test(name));
  return file && { VK_DRIVER_FILES: file, VK_ICD_FILENAMES: file };
}

/**
 * Opens a page with a profile of its own.
 * @param {RemotePage} page
 * @param {{url: string}} server that has the page's routes
 */
export function openFirefox(page, server) {
  if (!existsSync(PROGRAM)) throw new Error(`no ${PROGRAM}: scripts/setup.sh test installs it, or name one in QN_FIREFOX`);
  const profile = temporaryFolder();
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
  const options = ["--headless", "--no-remote", "--profile", profile, `${server.url}remote/`];
  const env = { ...process.env, ...softwareDriver(), HOME: profile, XDG_RUNTIME_DIR: profile };
  const firefox = spawn(PROGRAM, options, { stdio: "ignore", env });
  const exited = new Promise((resolve) => firefox.once("exit", resolve).once("error", resolve));
  exited.then((why) => page.gone(new Error(`Firefox ended: ${why}`)));
  const kill = () => firefox.kill();
  process.once("exit", kill);
  return {
    /** Its first process. */
    pid: firefox.pid,
    close() {
      kill();
      return exited;
    },
  };
}

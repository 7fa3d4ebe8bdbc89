// chromium.js - Debian's Chromium, headless, with WebGPU on SwiftShader, its software driver.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { temporaryFolder } from "./build.js";

const PROGRAMS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--js-flags=--expose-gc"];

/**
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns a context with a profile of its own, so that OPFS works
 */
export function openChromium(options = {}) {
  const executablePath = process.env.QN_CHROMIUM ?? PROGRAMS.find(existsSync);
  if (!executablePath) throw new Error("no Chromium: scripts/setup.sh test installs it, or name it in QN_CHROMIUM");
  return chromium.launchPersistentContext(temporaryFolder(), { executablePath, headless: true, args: FLAGS, ...options });
}

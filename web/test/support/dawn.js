// dawn.js - WebGPU in Node for the tests: Dawn (npm package `webgpu`, where scripts/setup.sh test puts it) on SwiftShader,
// Chromium's software driver.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./build.js";

const DRIVERS = ["/usr/lib/chromium/vk_swiftshader_icd.json", "/opt/google/chrome/vk_swiftshader_icd.json"];

/** @returns {Promise<GPU>} */
export async function openDawn() {
  const driver = process.env.VK_ICD_FILENAMES ?? DRIVERS.find(existsSync);
  if (!driver) throw new Error("no SwiftShader: install chromium, or name its vk_swiftshader_icd.json in VK_ICD_FILENAMES");
  process.env.VK_ICD_FILENAMES = driver; // read when Dawn first looks for an adapter
  return createDawn();
}

/** On whatever Vulkan has. @param {string[]} options of Dawn */
export async function createDawn(...options) {
  const { create } = await import(join(ROOT, "third_party/webgpu/index.js"));
  return create(["backend=vulkan", ...options]);
}

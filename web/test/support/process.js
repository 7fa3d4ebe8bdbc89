// process.js - what a process of Linux holds.
import { readFileSync } from "node:fs";

/** Bytes of its own: neither of files nor shared. @param {number} id */
export function bytesOf(id) {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${id}/status`, "utf8"));
  return 1024 * Number(kilobytes);
}

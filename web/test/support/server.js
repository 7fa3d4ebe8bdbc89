// server.js - web servers: of one file, with the faults that web servers have, and of a folder, as plain as they come.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

/**
 * @typedef {object} Behaviour
 * @property {Uint8Array} bytes
 * @property {boolean} [ranges] answers ranges (true)
 * @property {string} [etag]
 * @property {boolean} [sized] tells the length (true)
 * @property {(request: {n: number, start: number}) => number | undefined} [cut] after how many bytes of the body the
 *     connection breaks
 * @property {(n: number) => number} [status] of request n; 200 goes on
 * @property {number} [size] a size that is claimed, with `at` in place of bytes
 * @property {(offset: number, length: number) => Uint8Array} [at]
 * @property {Record<string, string>} [headers] more of them
 * @property {number} [delay] milliseconds between pieces of 64 KiB
 */

/** @param {Behaviour} behaviour may be changed while it runs */
export async function serveFile(behaviour) {
  const requests = [];
  const { url, close } = await listen((request, response) => answer(behaviour, requests, request, response));
  return { url: `${url}model.gguf`, requests, close };
}

/** A download that breaks, then a server that forgets the file for a while. @param {Uint8Array} bytes @param {number} at */
export const broken = (bytes, at) => ({
  bytes,
  etag: '"one"',
  cut: ({ n }) => (n === 1 ? at : undefined),
  status: (n) => (n === 2 ? 404 : 200),
});

/** A server on a free port: its address ends in a slash. */
async function listen(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html", ".css": "text/css" };

/**
 * Serves a folder: type and length, no ranges, no other headers.
 * @param {string} folder
 * @param {Record<string, Behaviour>} [files] paths that are served by serveFile's rules
 * @param {Record<string, (request: any, response: any) => void>} [routes] paths that are answered by functions
 * @returns the address; the paths that were asked for; the ranges of those in `files`
 */
export async function serveFolder(folder, files = {}, routes = {}) {
  const requests = [];
  const ranges = Object.fromEntries(Object.keys(files).map((path) => [path, []]));
  const { url, close } = await listen((request, response) => {
    const { pathname } = new URL(request.url, "http://host");
    if (routes[pathname]) return routes[pathname](request, response);
    requests.push(pathname);
    if (files[pathname]) return answer(files[pathname], ranges[pathname], request, response);
    const path = join(folder, pathname.endsWith("/") ? `${pathname}index.html` : pathname);
    let body;
    try {
      body = readFileSync(path);
    } catch {
      return response.writeHead(404).end();
    }
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream", "content-length": body.length });
    response.end(body);
  });
  return { url, requests, ranges, close };
}

async function answer(b, requests, request, response) {
  const { range } = request.headers;
  const n = requests.push(range ?? "all");
  const status = b.status?.(n) ?? 200;
  if (status !== 200) return response.writeHead(status).end("no");
  const size = b.size ?? b.bytes.length;
  const at = b.at ?? ((offset, length) => b.bytes.subarray(offset, offset + length));
  const asked = b.ranges !== false && /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
  const start = asked ? Number(asked[1]) : 0;
  const end = asked && asked[2] ? Math.min(Number(asked[2]) + 1, size) : size;
  if (start >= size) return response.writeHead(416, { "content-range": `bytes */${size}` }).end();
  response.writeHead(asked ? 206 : 200, {
    ...(b.sized !== false && { "content-length": end - start }),
    ...(asked && { "content-range": `bytes ${start}-${end - 1}/${size}` }),
    ...(b.etag && { etag: b.etag }),
    ...b.headers,
  });
  await send(b, response, at, start, Math.min(end, start + (b.cut?.({ n, start }) ?? Infinity)), end);
}

async function send(b, response, at, start, stop, end) {
  for (let offset = start; offset < stop && !response.destroyed; ) {
    const length = Math.min(stop - offset, 1 << 16);
    await new Promise((resolve) => response.write(at(offset, length), resolve)); // also called when it broke
    if (b.delay) await new Promise((resolve) => setTimeout(resolve, b.delay));
    offset += length;
  }
  if (stop < end) response.socket?.destroy();
  else response.end();
}

// Bars of GPU time, as a table, so that a screen reader tells the same.

import { element } from "./element.js";

/**
 * @param {HTMLElement} place
 * @param {{kernel: string, node: string, dispatches: number, milliseconds: number}[]} kernels longest first
 * @param {number} tokens that they computed
 */
export function drawKernels(place, kernels, tokens) {
  const whole = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const longest = kernels[0].milliseconds || 1;
  const heads = ["Kernel", "Share", "ms"].map((title) => element("th", { scope: "col", textContent: title }));
  const rows = kernels.map(({ kernel, node, dispatches, milliseconds }) => {
    const bar = element("span", { className: "bar", ariaHidden: "true" });
    bar.style.width = `${(100 * milliseconds) / longest}%`;
    const name = element("th", { scope: "row", title: `${dispatches} dispatches` }, kernel, element("small", {}, ` ${node}`), bar);
    const share = whole ? (100 * milliseconds) / whole : 0;
    return element("tr", {}, name, element("td", {}, `${share.toFixed(1)} %`), element("td", {}, milliseconds.toFixed(1)));
  });
  place.replaceChildren(element("table", {},
    element("caption", {}, `GPU time of ${tokens} tokens: ${whole.toFixed(0)} ms`),
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)));
}

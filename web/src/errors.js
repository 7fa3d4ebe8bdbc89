// Errors that say what kind they are.

/**
 * An error of Quern. `code` is the core's ("argument", "state", "io", "format", "unsupported", "memory", "gpu memory",
 * "gpu", "device lost", "limit", "context", "internal") or one of the browser's part: "network", "hash", "quota".
 * `details` holds the numbers, where there are some.
 */
export class QuernError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{details?: Record<string, unknown>, cause?: unknown}} [more]
   */
  constructor(code, message, { details = {}, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "QuernError";
    this.code = code;
    this.details = details;
  }
}

/** What structured cloning keeps of an error: classes and own fields would be lost. */
export function packError(error) {
  if (error instanceof QuernError) return { code: error.code, message: error.message, details: error.details };
  const { name = "Error", message = String(error) } = error ?? {};
  return { name, message };
}

/** The error that packError took apart. */
export function unpackError({ code, message, details, name }) {
  if (code !== undefined) return new QuernError(code, message, { details });
  if (name === "AbortError" || name === "TimeoutError") return new DOMException(message, name);
  return new QuernError("internal", name === "Error" ? message : `${name}: ${message}`);
}

/** What `signal.throwIfAborted` throws; older signals may have no reason. */
export function abortReason(signal) {
  return signal.reason ?? new DOMException("This operation was aborted", "AbortError");
}

/**
 * The promise, or the signal's reason if that comes first. What was started goes on: whoever does it sees the signal
 * too.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export function orAborted(promise, signal) {
  if (!signal) return promise;
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(abortReason(signal));
  }
  return new Promise((resolve, reject) => {
    const abort = () => reject(abortReason(signal));
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

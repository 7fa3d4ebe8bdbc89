// device.js - what belongs to a GPUDevice besides its objects: its errors, error scopes, loss and open requests.
import { enums } from "../layouts.js";

const { WGPUDeviceLostReason, WGPUErrorFilter, WGPUErrorType } = enums;

/** @param {GPUError} error @returns {number} its WGPUErrorType */
function typeOfError(error) {
  switch (error.constructor.name) {
    case "GPUValidationError":
      return WGPUErrorType.Validation;
    case "GPUOutOfMemoryError":
      return WGPUErrorType.OutOfMemory;
    case "GPUInternalError":
      return WGPUErrorType.Internal;
    default:
      return WGPUErrorType.Unknown;
  }
}

/** The filter that catches a type of error. */
const FILTER_OF_TYPE = {
  [WGPUErrorType.Validation]: WGPUErrorFilter.Validation,
  [WGPUErrorType.OutOfMemory]: WGPUErrorFilter.OutOfMemory,
  [WGPUErrorType.Internal]: WGPUErrorFilter.Internal,
};

const FILTERS = {
  [WGPUErrorFilter.Validation]: "validation",
  [WGPUErrorFilter.OutOfMemory]: "out-of-memory",
  [WGPUErrorFilter.Internal]: "internal",
};

export class Device {
  /** C's number for it, 0 once released. */
  handle = 0;
  /** Error scopes of C, innermost last, each with the first error of ours. @type {{filter: number, text: string}[]} */
  #scopes = [];
  #caller;
  #lost;
  #uncaptured;
  #lossTold = false;

  /**
   * @param {GPUDevice} object
   * @param {import("./futures.js").Requests} requests
   * @param {import("./futures.js").Caller} caller
   * @param {{lost: import("./futures.js").CallbackInfo, uncaptured: import("./futures.js").CallbackInfo}} callbacks
   */
  constructor(object, requests, caller, { lost, uncaptured }) {
    this.object = object;
    this.requests = requests;
    this.#caller = caller;
    this.#lost = lost;
    this.#uncaptured = uncaptured;
    object.lost.then((info) => this.#onLost(info));
    object.onuncapturederror = (event) => {
      event.preventDefault?.(); // it is told to C, so the console need not
      if (this.handle) this.requests.event(() => this.#tellError(typeOfError(event.error), event.error.message));
    };
  }

  /** @param {GPUDeviceLostInfo} info */
  #onLost(info) {
    if (this.#lossTold) return;
    const reason = info.reason === "destroyed" ? WGPUDeviceLostReason.Destroyed : WGPUDeviceLostReason.Unknown;
    this.requests.event(() => this.#tellLoss(reason, info.message));
  }

  /** @param {number} reason @param {string} text */
  #tellLoss(reason, text) {
    if (this.#lossTold) return;
    this.#lossTold = true;
    this.#caller.callOfDevice(this.#lost, this.handle, reason, text);
  }

  /** @param {number} type @param {string} text */
  #tellError(type, text) {
    this.#caller.callOfDevice(this.#uncaptured, this.handle, type, text);
  }

  /**
   * An exception of a JavaScript call as an error of the device: the innermost scope that catches its type gets it, else
   * the uncaptured-error callback. Exceptions may not pass through C's frames, which would keep their stack.
   * @param {Error} error
   */
  report(error) {
    const type = error instanceof RangeError ? WGPUErrorType.OutOfMemory : WGPUErrorType.Validation;
    const scope = this.#scopes.findLast(({ filter }) => filter === FILTER_OF_TYPE[type]);
    if (!scope) this.#tellError(type, error.message);
    else scope.text ||= error.message;
  }

  /** Scopes are answered in order with the errors outside of them: an empty one tells when those are known. */
  async settled() {
    this.object.pushErrorScope("validation");
    await this.object.popErrorScope().catch(() => {}); // a lost device answers nothing
  }

  /** What work returns, or 0 after its exception was reported. @param {() => number} work */
  attempt(work) {
    try {
      return work();
    } catch (error) {
      this.report(error);
      return 0;
    }
  }

  /** @param {number} filter */
  pushErrorScope(filter) {
    this.object.pushErrorScope(FILTERS[filter]);
    this.#scopes.push({ filter, text: "" });
  }

  /** @returns {Promise<[number, string]>} type and message of the scope's first error */
  async popErrorScope() {
    const scope = this.#scopes.pop();
    const error = await this.object.popErrorScope();
    if (error) return [typeOfError(error), error.message];
    if (!scope?.text) return [WGPUErrorType.NoError, ""];
    return [scope.filter === WGPUErrorFilter.OutOfMemory ? WGPUErrorType.OutOfMemory : WGPUErrorType.Validation, scope.text];
  }

  /** C's last reference is gone: frees all GPU memory of the device and calls back everything that it still owes. */
  close() {
    this.handle = 0;
    this.object.destroy();
    this.requests.cancel();
    this.#tellLoss(WGPUDeviceLostReason.Destroyed, "");
  }

  /** The instance is gone: calls back everything that is still owed. */
  cancel() {
    this.requests.cancel();
    this.#tellLoss(WGPUDeviceLostReason.CallbackCancelled, "");
  }

  /** The module is gone: frees GPU memory, calls nobody. */
  abandon() {
    this.#lossTold = true;
    this.handle = 0;
    this.requests.forget();
    this.object.destroy();
  }
}

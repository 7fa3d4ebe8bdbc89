// pretend.js - a WebGPU whose adapter says that it is a GPU, as the self-test leaves software alone, and that counts the
// pipelines made. It has core WebGPU only, so that there are few kernels to try.

/** @param {GPU} gpu */
export function pretendGpu(gpu) {
  const pretended = {
    pipelines: 0,
    async requestAdapter(options) {
      const adapter = await gpu.requestAdapter(options);
      return adapter && Object.defineProperties(adapter, {
        info: { value: { vendor: "pretended", architecture: "none", device: "", description: "" } },
        features: { value: new Set() },
        requestDevice: { value: (wanted) => openDevice(Object.getPrototypeOf(adapter).requestDevice.call(adapter, wanted)) },
      });
    },
  };
  const openDevice = async (request) => {
    const device = await request;
    const { createComputePipeline } = Object.getPrototypeOf(device);
    return Object.defineProperty(device, "createComputePipeline", {
      value: (descriptor) => (pretended.pipelines++, createComputePipeline.call(device, descriptor)),
    });
  };
  return pretended;
}

// linear1.wgsl - operands of the linear kernel that goes element by element.

@group(0) @binding(1) var<storage, read> x: array<f32>;          // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<u32>;
@group(0) @binding(3) var<storage, read> wscales: array<u32>;
@group(0) @binding(4) var<storage, read> wmins: array<u32>;

// linear4.wgsl - operands of the linear kernels that take four weight rows at a time.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> wscales: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> wmins: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read> norm: array<vec4<f32>>;    // [K]

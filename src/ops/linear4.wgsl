// linear4.wgsl - operands of the linear kernels that take four weight rows at a time. A dispatch computes m rows of x
// with the rows n0 .. n0 + n_part - 1 of w; kw: words a row, groups: scale groups a row.

struct Params { m: u32, n: u32, n0: u32, n_part: u32, kw: u32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> wscales: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> wmins: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;          // [n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [m, n]

// grid_priors.wgsl - y[H*W, 2] = ((w + offset) * stride, (h + offset) * stride), a row an invocation.
struct Params {
    n: u32, // H * W
    w: u32,
    stride: f32,
    offset: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec2<f32>>;

@compute @workgroup_size(WG_X)
fn grid_priors(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i < p.n) {
        y[i] = (vec2<f32>(vec2<u32>(i % p.w, i / p.w)) + p.offset) * p.stride;
    }
}

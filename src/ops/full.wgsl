// full.wgsl - y[i] = start + i * step as words of a type. Node: DTYPE (qn_dtype).
struct Params {
    n: u32,     // elements
    first: u32, // index of y's first element
    start: u32, // of type DTYPE, as step
    step: u32,
}

const TYPE_I32: u32 = 2u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let at = p.first + i;
    if (DTYPE == TYPE_I32) {
        y[i] = p.start + at * p.step;
    } else {
        y[i] = bitcast<u32>(bitcast<f32>(p.start) + f32(at) * bitcast<f32>(p.step));
    }
}

// strided_fill.wgsl - y[...] = one 32-bit word, four of them an invocation. The last item may pass the live elements:
// every tensor's memory is a multiple of 16 bytes.
struct Params {
    n: u32, // items
    word: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WG_X)
fn fill(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i < p.n) {
        y[i] = vec4<u32>(p.word);
    }
}

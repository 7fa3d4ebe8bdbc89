// gate.wgsl - y[M, F] = silu(t[M, 0 .. F-1]) * t[M, F .. 2F-1], an item an invocation.
struct Params {
    n: u32,     // items of y
    items: u32, // items of a row of y
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> t: array<Item>;
@group(0) @binding(2) var<storage, read_write> y: array<Item>;

@compute @workgroup_size(WG_X)
fn gate(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let at = i + i / p.items * p.items;
    let g = t[at];
    y[i] = g / (1.0 + exp(-g)) * t[at + p.items];
}

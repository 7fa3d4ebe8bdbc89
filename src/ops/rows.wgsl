// rows.wgsl - last_rows: y[n, E] = the last n rows of x[M, E], one element an invocation.
struct Params {
    n: u32,     // elements of y
    first: u32, // element of x that y begins with
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG_X)
fn last_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i < p.n) {
        y[i] = x[p.first + i];
    }
}

// rope.wgsl - rotates pairs of x[B, S, H, D] by the angles of their position: one invocation a pair.
// Interleaved mode pairs elements 2i and 2i + 1, half mode i and i + D/2. Spec: INTERLEAVED (0 or 1). The file before it
// gives angles(row, i): cosine and sine for the first element of pair i, cosine and sine for the second.

struct Params {
    n: u32,        // pairs: B * S * H * D/2
    half: u32,     // D / 2
    n_heads: u32,  // H
    rows: u32,     // S
    pos: u32,      // position of the first row
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [B, S, H, D]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [B, S, H, D]

@compute @workgroup_size(WG_X)
fn rope(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
    let pair = (workgroup.y * grid.x + workgroup.x) * WG_X + local.x;
    if (pair >= p.n) {
        return;
    }
    let head = pair / p.half;
    let i = pair % p.half;
    let t = angles(p.pos + (head / p.n_heads) % p.rows, i);
    var a = head * 2u * p.half + i;
    var b = a + p.half;
    if (INTERLEAVED == 1u) {
        a += i;
        b = a + 1u;
    }
    let x0 = x[a];
    let x1 = x[b];
    y[a] = x0 * t.x - x1 * t.y;
    y[b] = x1 * t.z + x0 * t.w;
}

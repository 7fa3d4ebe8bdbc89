// linear_any.wgsl - one output an invocation, element by element: any K, any group size, any storage.

struct Params { m: u32, n: u32, n0: u32, n_part: u32, kw: u32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<u32>;
@group(0) @binding(3) var<storage, read> wscales: array<u32>;
@group(0) @binding(4) var<storage, read> wmins: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // [n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // [m, n]

fn term(m: u32, n: u32, k: u32) -> f32 {
    if (K % 4u != 0u && k >= K) {
        return 0.0;
    }
    return x[m * K + k] * w_at(n, k, p.kw, p.groups);
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let n = (wid.z * nwg.x + wid.x) * TILE_N + lid;
    if (n >= p.n_part) {
        return;
    }
    let m = wid.y;
    // Four partial sums keep the rounding of long rows small.
    var sum = vec4<f32>();
    for (var k = 0u; k < K; k += 4u) {
        sum += vec4<f32>(term(m, n, k), term(m, n, k + 1u), term(m, n, k + 2u), term(m, n, k + 3u));
    }
    var v = (sum.x + sum.y) + (sum.z + sum.w);
    if (HAS_BIAS == 1u) {
        v += bias[p.n0 + n];
    }
    y[m * p.n + p.n0 + n] = v;
}

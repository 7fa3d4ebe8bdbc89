// linear_any.wgsl - one output an invocation, element by element: any K, any group size, any storage.

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
    put(m, n, (sum.x + sum.y) + (sum.z + sum.w));
}

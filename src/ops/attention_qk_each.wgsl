// attention_qk_each.wgsl - one invocation makes 4 queries x 4 columns (WG_X apart), without shared memory: for software
// devices, where barriers are dear, every load costs a step per lane, and the lanes of a wave are neighbouring columns.
// TILE_T = 4, TILE_X = 4 * WG_X.

@compute @workgroup_size(WG_X)
fn qk_each(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, p.c1 - p.c0);
    let last = min(tile.t0 + TILE_T, p.n_t) - 1u;
    if (!tile.live || p.c0 + tile.x0 >= visible(last)) {
        return;
    }
    let column = p.c0 + tile.x0 + local.x;
    // Past the end, the last row or query is read again and not stored.
    let end = p.c1 - 1u;
    let k0 = cache_at(tile.kv, min(column, end));
    let k1 = cache_at(tile.kv, min(column + WG_X, end));
    let k2 = cache_at(tile.kv, min(column + 2u * WG_X, end));
    let k3 = cache_at(tile.kv, min(column + 3u * WG_X, end));
    let q0 = query_at(tile.kv, tile.t0);
    let q1 = query_at(tile.kv, min(tile.t0 + 1u, last));
    let q2 = query_at(tile.kv, min(tile.t0 + 2u, last));
    let q3 = query_at(tile.kv, min(tile.t0 + 3u, last));
    var s0 = vec4<f32>(); // of query t0, columns 0..3
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var d = 0u; d < D4; d++) {
        let a = k_cache[k0 + d];
        let b = k_cache[k1 + d];
        let c = k_cache[k2 + d];
        let e = k_cache[k3 + d];
        let w0 = q[q0 + d];
        let w1 = q[q1 + d];
        let w2 = q[q2 + d];
        let w3 = q[q3 + d];
        s0 += vec4<f32>(dot(w0, a), dot(w0, b), dot(w0, c), dot(w0, e));
        s1 += vec4<f32>(dot(w1, a), dot(w1, b), dot(w1, c), dot(w1, e));
        s2 += vec4<f32>(dot(w2, a), dot(w2, b), dot(w2, c), dot(w2, e));
        s3 += vec4<f32>(dot(w3, a), dot(w3, b), dot(w3, c), dot(w3, e));
    }
    for (var i = 0u; i < 4u; i++) {
        put(tile.kv, tile.t0, column + i * WG_X, s0[i]);
        put(tile.kv, tile.t0 + 1u, column + i * WG_X, s1[i]);
        put(tile.kv, tile.t0 + 2u, column + i * WG_X, s2[i]);
        put(tile.kv, tile.t0 + 3u, column + i * WG_X, s3[i]);
    }
}

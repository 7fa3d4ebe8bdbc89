// attention_qk_each.wgsl - one invocation makes 4 queries x 2 columns (c, c + WG_X), without shared memory: for software
// devices, where barriers are dear and the lanes of a wave are neighbouring columns. TILE_T = 4, TILE_X = 2 * WG_X.

@compute @workgroup_size(WG_X)
fn qk_each(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, p.c1 - p.c0);
    let last = min(tile.t0 + TILE_T, p.n_t) - 1u;
    if (!tile.live || p.c0 + tile.x0 >= visible(last)) {
        return;
    }
    let ca = p.c0 + tile.x0 + local.x;
    let cb = ca + WG_X;
    // Past the end, the last row or query is read again and not stored.
    let ka = cache_at(tile.kv, min(ca, p.c1 - 1u));
    let kb = cache_at(tile.kv, min(cb, p.c1 - 1u));
    let q0 = query_at(tile.kv, tile.t0);
    let q1 = query_at(tile.kv, min(tile.t0 + 1u, last));
    let q2 = query_at(tile.kv, min(tile.t0 + 2u, last));
    let q3 = query_at(tile.kv, min(tile.t0 + 3u, last));
    var a = vec4<f32>();
    var b = vec4<f32>();
    for (var d = 0u; d < D4; d++) {
        let va = k_cache[ka + d];
        let vb = k_cache[kb + d];
        let w0 = q[q0 + d];
        let w1 = q[q1 + d];
        let w2 = q[q2 + d];
        let w3 = q[q3 + d];
        a += vec4<f32>(dot(w0, va), dot(w1, va), dot(w2, va), dot(w3, va));
        b += vec4<f32>(dot(w0, vb), dot(w1, vb), dot(w2, vb), dot(w3, vb));
    }
    for (var i = 0u; i < TILE_T; i++) {
        put(tile.kv, tile.t0 + i, ca, a[i]);
        put(tile.kv, tile.t0 + i, cb, b[i]);
    }
}

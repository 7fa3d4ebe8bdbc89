// attention_av_plain.wgsl - the plain scalar kernel that attention_av.wgsl is compared with bit for bit: one
// invocation an element of o, one fma a context row, nothing else. TILE_T = 1, TILE_X = WG_X / 4 (vec4 columns).

@group(0) @binding(1) var<storage, read> weights: array<f32>;  // [n_kv, n_t, ctx]
@group(0) @binding(2) var<storage, read> v_cache: array<f32>;  // [window, Hkv, D]
@group(0) @binding(3) var<storage, read_write> o: array<f32>;  // [S, Hq, D]

@compute @workgroup_size(WG_X)
fn av_plain(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
            @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, D4);
    let d = 4u * tile.x0 + local.x;
    if (!tile.live || d >= 4u * D4) {
        return;
    }
    let out = 4u * query_at(tile.kv, tile.t0) + d;
    var sum = 0.0;
    if (p.c0 != 0u) {
        sum = o[out];
    }
    for (var c = p.c0; c < p.c1; c++) {
        sum = fma(weights[weights_at(tile.kv, tile.t0) + c], v_cache[4u * cache_at(tile.kv, c) + d], sum);
    }
    o[out] = sum;
}

// attention_av_split.wgsl - weights . V for few queries on GPUs: WG_Y slices of a workgroup walk the context side by
// side, every V row is read once for the TILE_T = 4 queries, and the slices' sums meet in shared memory.
// TILE_X = WG_X; WG_Y is a power of two. The order of summation differs from attention_av.wgsl.

var<workgroup> partial: array<vec4<f32>, WG_Y * TILE_T * WG_X>; // [slice, query, d]

@compute @workgroup_size(WG_X, WG_Y)
fn av_split(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
            @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, D4);
    if (!tile.live) {
        return;
    }
    let d = tile.x0 + local.x;
    let last = min(tile.t0 + TILE_T, p.n_t) - 1u;
    let w0 = weights_at(tile.kv, tile.t0);
    let w1 = weights_at(tile.kv, min(tile.t0 + 1u, last));
    let w2 = weights_at(tile.kv, min(tile.t0 + 2u, last));
    let w3 = weights_at(tile.kv, min(tile.t0 + 3u, last));
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    if (d < D4) {
        let end = min(p.c1, visible(last));
        for (var c = p.c0 + local.y; c < end; c += WG_Y) {
            let value = v_cache[cache_at(tile.kv, c) + d];
            s0 = fma(vec4<f32>(weights[w0 + c]), value, s0);
            s1 = fma(vec4<f32>(weights[w1 + c]), value, s1);
            s2 = fma(vec4<f32>(weights[w2 + c]), value, s2);
            s3 = fma(vec4<f32>(weights[w3 + c]), value, s3);
        }
    }
    let mine = local.y * TILE_T * WG_X + local.x;
    partial[mine] = s0;
    partial[mine + WG_X] = s1;
    partial[mine + 2u * WG_X] = s2;
    partial[mine + 3u * WG_X] = s3;
    workgroupBarrier();
    for (var half = WG_Y / 2u; half > 0u; half /= 2u) {
        if (local.y < half) {
            for (var i = 0u; i < TILE_T; i++) {
                partial[mine + i * WG_X] += partial[mine + i * WG_X + half * TILE_T * WG_X];
            }
        }
        workgroupBarrier();
    }
    let t = tile.t0 + local.y;
    if (local.y < TILE_T && t < p.n_t && d < D4) {
        let at = query_at(tile.kv, t) + d;
        o[at] = so_far(at) + partial[local.y * WG_X + local.x];
    }
}

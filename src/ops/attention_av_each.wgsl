// attention_av_each.wgsl - one invocation makes 4 queries x 4 elements: TILE_T = 4, TILE_X = WG_X. A body without
// branches over the context rounded down to 4, then one tail; columns past the context are never read. Bit for bit
// equal to av_plain: the same fma in the same order. Columns that no query of the tile sees are left out; their weights
// are 0 and add nothing.

@compute @workgroup_size(WG_X)
fn av(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
      @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, D4);
    let d = tile.x0 + local.x;
    if (!tile.live || d >= D4) {
        return;
    }
    // Past the last query, the last one is computed again and not stored.
    let last = min(tile.t0 + TILE_T, p.n_t) - 1u;
    let t1 = min(tile.t0 + 1u, last);
    let t2 = min(tile.t0 + 2u, last);
    let t3 = min(tile.t0 + 3u, last);
    let w0 = weights_at(tile.kv, tile.t0);
    let w1 = weights_at(tile.kv, t1);
    let w2 = weights_at(tile.kv, t2);
    let w3 = weights_at(tile.kv, t3);
    let o0 = query_at(tile.kv, tile.t0) + d;
    let o1 = query_at(tile.kv, t1) + d;
    let o2 = query_at(tile.kv, t2) + d;
    let o3 = query_at(tile.kv, t3) + d;
    var s0 = so_far(o0);
    var s1 = so_far(o1);
    var s2 = so_far(o2);
    var s3 = so_far(o3);
    let end = min(p.c1, max(visible(last), p.c0));
    let body = p.c0 + (end - p.c0) / 4u * 4u;
    let step = p.n_kv_heads * D4;
    var at = cache_at(tile.kv, p.c0) + d;
    var c = p.c0;
    for (; c < body; c += 4u) {
        for (var i = 0u; i < 4u; i++) {
            let value = v_cache[at + i * step];
            s0 = fma(vec4<f32>(weights[w0 + c + i]), value, s0);
            s1 = fma(vec4<f32>(weights[w1 + c + i]), value, s1);
            s2 = fma(vec4<f32>(weights[w2 + c + i]), value, s2);
            s3 = fma(vec4<f32>(weights[w3 + c + i]), value, s3);
        }
        at += 4u * step;
    }
    for (; c < end; c++) {
        let value = v_cache[at];
        s0 = fma(vec4<f32>(weights[w0 + c]), value, s0);
        s1 = fma(vec4<f32>(weights[w1 + c]), value, s1);
        s2 = fma(vec4<f32>(weights[w2 + c]), value, s2);
        s3 = fma(vec4<f32>(weights[w3 + c]), value, s3);
        at += step;
    }
    o[o0] = s0;
    o[o1] = s1;
    o[o2] = s2;
    o[o3] = s3;
}

// attention_av_each.wgsl - one invocation makes 4 queries x 8 elements (vec4s d and d + WG_X): TILE_T = 4, TILE_X =
// 2 * WG_X. A body without branches over the context rounded down to 4, then one tail; columns past the context are
// never read. Bit for bit equal to av_plain: the same fma in the same order. Columns that no query of the tile sees are
// left out; their weights are 0 and add nothing.

@compute @workgroup_size(WG_X)
fn av(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
      @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, D4);
    let d = tile.x0 + local.x;
    if (!tile.live || d >= D4) {
        return;
    }
    // Past the last query, the last one is computed again; past the last vec4, too, and not stored.
    let second = min(d + WG_X, D4 - 1u) - d;
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
    var a0 = so_far(o0);
    var a1 = so_far(o1);
    var a2 = so_far(o2);
    var a3 = so_far(o3);
    var b0 = so_far(o0 + second);
    var b1 = so_far(o1 + second);
    var b2 = so_far(o2 + second);
    var b3 = so_far(o3 + second);
    let end = min(p.c1, max(visible(last), p.c0));
    let body = p.c0 + (end - p.c0) / 4u * 4u;
    let step = p.n_kv_heads * D4;
    var at = cache_at(tile.kv, p.c0) + d;
    var c = p.c0;
    for (; c < body; c += 4u) {
        for (var i = 0u; i < 4u; i++) {
            let va = v_cache[at];
            let vb = v_cache[at + second];
            let x0 = vec4<f32>(weights[w0 + c + i]);
            let x1 = vec4<f32>(weights[w1 + c + i]);
            let x2 = vec4<f32>(weights[w2 + c + i]);
            let x3 = vec4<f32>(weights[w3 + c + i]);
            a0 = fma(x0, va, a0);
            a1 = fma(x1, va, a1);
            a2 = fma(x2, va, a2);
            a3 = fma(x3, va, a3);
            b0 = fma(x0, vb, b0);
            b1 = fma(x1, vb, b1);
            b2 = fma(x2, vb, b2);
            b3 = fma(x3, vb, b3);
            at += step;
        }
    }
    for (; c < end; c++) {
        let va = v_cache[at];
        let vb = v_cache[at + second];
        let x0 = vec4<f32>(weights[w0 + c]);
        let x1 = vec4<f32>(weights[w1 + c]);
        let x2 = vec4<f32>(weights[w2 + c]);
        let x3 = vec4<f32>(weights[w3 + c]);
        a0 = fma(x0, va, a0);
        a1 = fma(x1, va, a1);
        a2 = fma(x2, va, a2);
        a3 = fma(x3, va, a3);
        b0 = fma(x0, vb, b0);
        b1 = fma(x1, vb, b1);
        b2 = fma(x2, vb, b2);
        b3 = fma(x3, vb, b3);
        at += step;
    }
    o[o0] = a0;
    o[o1] = a1;
    o[o2] = a2;
    o[o3] = a3;
    if (d + WG_X < D4) {
        o[o0 + WG_X] = b0;
        o[o1 + WG_X] = b1;
        o[o2 + WG_X] = b2;
        o[o3 + WG_X] = b3;
    }
}

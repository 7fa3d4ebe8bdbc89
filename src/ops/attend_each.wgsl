// attend_each.wgsl - fused attention for software devices: an invocation makes one query (TILE_T = 1) over a split, four
// cache rows at a time, without barriers. MAX_SPLIT keeps its loops below what Mesa's software driver lets one run.

@compute @workgroup_size(WG_X)
fn attend_each(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(local_invocation_id) local: vec3<u32>) {
    let work = work_at((workgroup.y * grid.x + workgroup.x) * WG_X + local.x);
    if (!work.live) {
        return;
    }
    let first = query_at(work.kv, work.t0);
    let e = work.kv * D4;
    var sum: array<vec4<f32>, D4>;
    var top = LOWEST;
    var total = 0.0;
    for (var c = work.begin; c < work.end; c += 4u) {
        // Past the end, the last row again, masked.
        let rows = min(vec4<u32>(c, c + 1u, c + 2u, c + 3u), vec4<u32>(work.end - 1u)) - p.c0;
        var s = vec4<f32>();
        for (var d = 0u; d < D4; d++) {
            let x = q[first + d];
            s += vec4<f32>(dot(x, k_four(rows.x, e + d)), dot(x, k_four(rows.y, e + d)), dot(x, k_four(rows.z, e + d)),
                           dot(x, k_four(rows.w, e + d)));
        }
        s = select(vec4<f32>(MASKED), s * p.scale, vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(work.end));
        let most = max(max(top, max(s.x, s.y)), max(s.z, s.w));
        let old = exp2(top - most);
        let w = exp2(s - most);
        top = most;
        total = total * old + ((w.x + w.y) + (w.z + w.w));
        for (var d = 0u; d < D4; d++) {
            sum[d] = sum[d] * old + v_four(rows.x, e + d) * w.x + v_four(rows.y, e + d) * w.y +
                     v_four(rows.z, e + d) * w.z + v_four(rows.w, e + d) * w.w;
        }
    }
    for (var d = 0u; d < D4; d++) {
        put(work, work.t0, d, sum[d], top, total);
    }
}

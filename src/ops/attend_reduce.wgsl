// attend_reduce.wgsl - one query from its splits. WG_X vec4s of D side by side; WG_Y slices (a power of two) take the
// splits in turn and meet in shared memory.

@group(0) @binding(1) var<storage, read> partial: array<vec4<f32>>; // [Hkv, n_t, n_splits, D + 4]
@group(0) @binding(2) var<storage, read_write> o: array<vec4<f32>>; // [S, Hq, D]

var<workgroup> sums: array<vec4<f32>, WG_X * WG_Y>;
var<workgroup> tops: array<vec2<f32>, WG_X * WG_Y>; // maximum, sum of weights

@compute @workgroup_size(WG_X, WG_Y)
fn attend_reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                 @builtin(local_invocation_id) local: vec3<u32>) {
    let i = workgroup.y * grid.x + workgroup.x;
    let n_x = (D4 + WG_X - 1u) / WG_X;
    let query = i / n_x;
    if (query >= p.n_kv * p.n_t) {
        return;
    }
    let d = i % n_x * WG_X + local.x;
    let at = partial_at(query / p.n_t, query % p.n_t, 0u);
    var top = vec2<f32>(LOWEST, 0.0);
    var sum = vec4<f32>();
    if (d < D4) {
        for (var s = local.y; s < p.n_splits; s += WG_Y) {
            let other = partial[at + s * (D4 + 1u) + D4].xy;
            let most = max(top.x, other.x);
            let a = exp2(top.x - most);
            let b = exp2(other.x - most);
            top = vec2<f32>(most, top.y * a + other.y * b);
            sum = sum * a + partial[at + s * (D4 + 1u) + d] * b;
        }
    }
    if (WG_Y > 1u) {
        let mine = local.y * WG_X + local.x;
        for (var half = WG_Y / 2u; half > 0u; half /= 2u) {
            tops[mine] = top;
            sums[mine] = sum;
            workgroupBarrier();
            let there = select(mine, mine + half * WG_X, local.y < half);
            let other = tops[there];
            let most = max(top.x, other.x);
            let a = exp2(top.x - most);
            let b = exp2(other.x - most);
            top = vec2<f32>(most, top.y * a + other.y * b);
            sum = sum * a + sums[there] * b;
            workgroupBarrier();
        }
    }
    if (d < D4 && local.y == 0u) {
        o[query_at(query / p.n_t, query % p.n_t) + d] = sum / top.y;
    }
}

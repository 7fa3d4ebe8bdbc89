// attend_reduce.wgsl - one query from its splits. WG_X vec4s of D side by side; WG_Y slices take the splits in turn
// and meet in shared memory.

@group(0) @binding(1) var<storage, read> partial: array<vec4<f32>>; // [Hkv, n_t, n_splits, D + 4]
@group(0) @binding(2) var<storage, read_write> o: array<vec4<f32>>; // [S, Hq, D]

var<workgroup> sums: array<vec4<f32>, WG_X * WG_Y>;
var<workgroup> tops: array<vec2<f32>, WG_X * WG_Y>; // maximum, sum of weights

struct Part {
    top: vec2<f32>,
    sum: vec4<f32>,
}

fn add(x: Part, top: vec2<f32>, sum: vec4<f32>) -> Part {
    let most = max(x.top.x, top.x);
    let a = exp2(x.top.x - most);
    let b = exp2(top.x - most);
    return Part(vec2<f32>(most, x.top.y * a + top.y * b), x.sum * a + sum * b);
}

@compute @workgroup_size(WG_X, WG_Y)
fn attend_reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                 @builtin(local_invocation_id) local: vec3<u32>) {
    let i = workgroup.y * grid.x + workgroup.x;
    let n_x = (D4 + WG_X - 1u) / WG_X;
    let query = i / n_x;
    if (query >= N_KV * p.n_t) {
        return;
    }
    let d = min(i % n_x * WG_X + local.x, D4 - 1u); // past the end the last one again, which is not stored
    let at = partial_at(query / p.n_t, query % p.n_t, 0u);
    var x = Part(vec2<f32>(LOWEST, 0.0), vec4<f32>());
    // Two at a time: their loads do not wait for one another.
    for (var s = local.y; s < p.n_splits; s += 2u * WG_Y) {
        let first = at + s * (D4 + 1u);
        let second = at + min(s + WG_Y, p.n_splits - 1u) * (D4 + 1u);
        let top0 = partial[first + D4].xy;
        let top1 = partial[second + D4].xy;
        let sum0 = partial[first + d];
        let sum1 = partial[second + d];
        x = add(x, top0, sum0);
        if (s + WG_Y < p.n_splits) {
            x = add(x, top1, sum1);
        }
    }
    if (WG_Y > 1u) {
        tops[local.y * WG_X + local.x] = x.top;
        sums[local.y * WG_X + local.x] = x.sum;
        workgroupBarrier();
        for (var y = 1u; y < min(WG_Y, p.n_splits) && local.y == 0u; y++) {
            x = add(x, tops[y * WG_X + local.x], sums[y * WG_X + local.x]);
        }
    }
    if (i % n_x * WG_X + local.x < D4 && local.y == 0u) {
        o[query_at(query / p.n_t, query % p.n_t) + d] = x.sum / x.top.y;
    }
}

// attention_av.wgsl - o[t] = sum over c of weights[t, c] * v_cache[c], in the order of c. A cache in several windows
// is summed window by window: the first writes o, the next ones go on from it, so the order stays the same.

@group(0) @binding(1) var<storage, read> weights: array<f32>;        // [n_kv, n_t, ctx]
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<f32>>;  // [window, Hkv, D]
@group(0) @binding(3) var<storage, read_write> o: array<vec4<f32>>;  // [S, Hq, D]

fn so_far(at: u32) -> vec4<f32> {
    if (p.c0 == 0u) {
        return vec4<f32>();
    }
    return o[at];
}

// attention_qk.wgsl - weights[t, c] = scale * q[t] . k_cache[c] for every c that query t sees. The causal mask is
// that the others are left unwritten: softmax reads none of them and gives them the weight 0.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;       // [S, Hq, D]
@group(0) @binding(2) var<storage, read> k_cache: array<vec4<f32>>; // [window, Hkv, D]
@group(0) @binding(3) var<storage, read_write> weights: array<f32>; // [n_kv, n_t, ctx]

fn put(kv: u32, t: u32, c: u32, sum: f32) {
    if (t < p.n_t && c < p.c1 && c < visible(t)) {
        weights[weights_at(kv, t) + c] = sum * p.scale;
    }
}

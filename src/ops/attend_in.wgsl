// attend_in.wgsl - the bindings of a kernel that makes splits, and how it reads a query.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;             // [S, Hq, D]
@group(0) @binding(2) var<storage, read> k_cache: array<vec4<u32>>;       // [window, Hkv, D]
@group(0) @binding(3) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;       // [S, Hq, D]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [Hkv, n_t, n_splits, D + 4]

// Eight `own` of query t, scaled.
fn query_eight(kv: u32, t: u32, own: u32) -> Eight {
    let at = query_at(kv, t) + 2u * own;
    return Eight(q[at] * p.scale, q[at + 1u] * p.scale);
}

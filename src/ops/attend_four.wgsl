// attend_four.wgsl - four queries at a time (TILE_T = 4): what the kernels for few of them share.

// Elements of four queries, a column each: the first four of an eight, and the next.
struct Queries {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

fn load_queries(work: Work, own: u32) -> Queries {
    let last = p.n_t - 1u;
    let q0 = query_eight(work.kv, work.t0, own);
    let q1 = query_eight(work.kv, min(work.t0 + 1u, last), own);
    let q2 = query_eight(work.kv, min(work.t0 + 2u, last), own);
    let q3 = query_eight(work.kv, min(work.t0 + 3u, last), own);
    return Queries(mat4x4<f32>(q0.a, q1.a, q2.a, q3.a), mat4x4<f32>(q0.b, q1.b, q2.b, q3.b));
}

// Eight `own` of four sums over V to [slot, query, d] of the workgroup's `sums`.
fn store_sums(slot: u32, own: u32, a: mat4x4<f32>, b: mat4x4<f32>) {
    let at = slot * 4u * D4 + 2u * own;
    sums[at] = a[0];
    sums[at + 1u] = b[0];
    sums[at + D4] = a[1];
    sums[at + D4 + 1u] = b[1];
    sums[at + 2u * D4] = a[2];
    sums[at + 2u * D4 + 1u] = b[2];
    sums[at + 3u * D4] = a[3];
    sums[at + 3u * D4 + 1u] = b[3];
}

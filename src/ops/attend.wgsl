// attend.wgsl - what the kernels of fused attention share. Scores, softmax and the sum over V are made in one pass over
// the cache with a running maximum; a call's context is cut into splits, each of which leaves its maximum, sum and sum
// over V, and attend_reduce.wgsl adds them up. With one split the result is written at once.
//
// The g = Hq/Hkv query heads that read one kv head are taken together: query t of a kv head is row t / g, head
// kv * g + t % g. Spec: D8 = head_dim / 8, N_KV = Hkv, G = g, KV_TYPE.

struct Params {
    pos: u32,          // cache rows before this call's first query row
    c0: u32,           // the bound window of the caches holds the live rows c0 <= c < c1
    c1: u32,
    n_t: u32,          // queries of a kv head: S * g
    row_elements: u32, // of a cache row: Hkv * D
    row4: u32,         // vec4s of a cache row
    split_rows: u32,   // cache rows of a split
    window_splits: u32,
    split0: u32,       // number of the window's first split
    n_splits: u32,     // of all windows
    scale: f32,        // of the scores, times log2(e): weights are powers of 2
}

const D4: u32 = 2u * D8;
const LOWEST: f32 = -1e30;  // below every score; a maximum before any score is seen
const MASKED: f32 = -3e38;  // the score of what a query does not see: its weight is 0 for any maximum

@group(0) @binding(0) var<uniform> p: Params;

// First vec4 of query t in q[S, Hq, D] and o[S, Hq, D].
fn query_at(kv: u32, t: u32) -> u32 {
    return ((t / G * N_KV + kv) * G + t % G) * D4;
}

// First vec4 of a split's part of query t: D elements, then maximum and sum.
fn partial_at(kv: u32, t: u32, split: u32) -> u32 {
    return ((kv * p.n_t + t) * p.n_splits + split) * (D4 + 1u);
}

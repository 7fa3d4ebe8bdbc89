// attention.wgsl - what the kernels of attention share: the parameter block, and which query and which part of the
// output a workgroup works on.
//
// The g = Hq/Hkv query heads that read one kv head are taken together: for every kv head the round holds n_t
// queries, query t being row row0 + t / gn, head (kv0 + kv) * g + g0 + t % gn. So Q.K^T and weights.V are plain
// matrix products per kv head, K and V are read once for all its query heads, and decode (n_t = g) and prompt
// (n_t = S * g) differ in n_t only.
//
// Row constants: TILE_T queries and TILE_X columns (of the step's own kind) a workgroup. Spec: D4 = head_dim / 4.

struct Params {
    pos: u32,        // cache rows before this call's first query row
    ctx: u32,        // pos + S: the live context
    c0: u32,         // the cache rows c0 <= c < c1 that this dispatch works on (one window of the cache)
    c1: u32,
    row0: u32,       // first query row of the round
    n_t: u32,        // queries of a kv head in the round
    kv0: u32,        // kv heads of the round
    n_kv: u32,
    g: u32,          // query heads of a kv head
    g0: u32,         // those of them in the round: g0 <= head in group < g0 + gn
    gn: u32,
    n_kv_heads: u32, // Hkv
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;

// The part of the output that a workgroup makes.
struct Tile {
    live: bool, // false: past the last one
    kv: u32,    // kv head within the round
    t0: u32,    // first query
    x0: u32,    // first column
}

fn tile_at(workgroup: vec3<u32>, grid: vec3<u32>, columns: u32) -> Tile {
    let n_x = (columns + TILE_X - 1u) / TILE_X;
    let n_t = (p.n_t + TILE_T - 1u) / TILE_T;
    let i = workgroup.y * grid.x + workgroup.x;
    let per_kv = n_x * n_t;
    return Tile(i < per_kv * p.n_kv, i / per_kv, (i / n_x) % n_t * TILE_T, i % n_x * TILE_X);
}

// Cache rows that query t sees: its own position and all before it.
fn visible(t: u32) -> u32 {
    return p.pos + p.row0 + t / p.gn + 1u;
}

// First vec4 of query t in q[S, Hq, D] and o[S, Hq, D].
fn query_at(kv: u32, t: u32) -> u32 {
    let row = p.row0 + t / p.gn;
    let head = (p.kv0 + kv) * p.g + p.g0 + t % p.gn;
    return (row * p.n_kv_heads * p.g + head) * D4;
}

// First vec4 of cache row c in the bound window of a cache[C, Hkv, D].
fn cache_at(kv: u32, c: u32) -> u32 {
    return ((c - p.c0) * p.n_kv_heads + p.kv0 + kv) * D4;
}

// First attention weight of query t: weights[n_kv, n_t, ctx].
fn weights_at(kv: u32, t: u32) -> u32 {
    return (kv * p.n_t + t) * p.ctx;
}

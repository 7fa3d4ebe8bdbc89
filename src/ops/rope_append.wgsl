// rope_append.wgsl - one row of a projection to q, k and v at once: rotates the heads of q and k by the angles of their
// position, writes q out and k and v into the caches. An invocation makes 4 elements of q or a unit of a cache row.
// Spec: INTERLEAVED, KV_TYPE, UNIT.

struct Params {
    n: u32,            // invocations
    q_elements: u32,   // Hq * D
    row_elements: u32, // Hkv * D
    head_dim: u32,
    src: u32,          // first row of qkv
    dst: u32,          // its row in the bound window of the caches
    row_words: u32,    // of a cache
    pos: u32,          // its position
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;           // [S, (Hq + 2 Hkv) * D]
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>;   // [positions, D/2]: cosine, sine
@group(0) @binding(3) var<storage, read_write> q: array<f32>;       // [S, Hq, D]
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>; // [window, Hkv, D]
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;

struct Target {
    row: u32,      // of this dispatch
    first: u32,    // of its elements in qkv
    to_v: bool,
}

// Element `first` + e of qkv, rotated with its partner in the head.
fn rotated(row: u32, first: u32, e: u32) -> f32 {
    let half = p.head_dim / 2u;
    let d = e % p.head_dim;
    var pair = d % half;
    var second = d >= half;
    var partner = e + half;
    if (INTERLEAVED == 1u) {
        pair = d / 2u;
        second = (d & 1u) == 1u;
        partner = e + 1u;
    }
    if (second) {
        partner = 2u * e - partner;
    }
    let angle = table[(p.pos + row) * half + pair];
    let x = qkv[first + e];
    let y = qkv[first + partner];
    return x * angle.x + select(-y, y, second) * angle.y;
}

fn rotated4(row: u32, first: u32, e: u32) -> vec4<f32> {
    return vec4<f32>(rotated(row, first, e), rotated(row, first, e + 1u), rotated(row, first, e + 2u),
                     rotated(row, first, e + 3u));
}

fn source4(to: Target, e: u32) -> vec4<f32> {
    if (to.to_v) {
        let at = to.first + e;
        return vec4<f32>(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]);
    }
    return rotated4(to.row, to.first, e);
}

fn put(to: Target, word: u32, value: u32) {
    let at = (p.dst + to.row) * p.row_words + word;
    if (to.to_v) {
        v_cache[at] = value;
    } else {
        k_cache[at] = value;
    }
}

@compute @workgroup_size(WG_X)
fn rope_append(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(local_invocation_id) local: vec3<u32>) {
    let i = (workgroup.y * grid.x + workgroup.x) * WG_X + local.x;
    if (i >= p.n) {
        return;
    }
    let n_q = p.q_elements / 4u;
    let n_kv = (p.row_elements + UNIT - 1u) / UNIT;
    let row = i / (n_q + 2u * n_kv);
    let unit = i % (n_q + 2u * n_kv);
    let first = (p.src + row) * (p.q_elements + 2u * p.row_elements);
    if (unit < n_q) {
        let x = rotated4(row, first, 4u * unit);
        let at = (p.src + row) * p.q_elements + 4u * unit;
        q[at] = x.x;
        q[at + 1u] = x.y;
        q[at + 2u] = x.z;
        q[at + 3u] = x.w;
        return;
    }
    let to_v = unit >= n_q + n_kv;
    let heads = first + p.q_elements + select(0u, p.row_elements, to_v);
    store_unit(Target(row, heads, to_v), select(unit - n_q, unit - n_q - n_kv, to_v));
}

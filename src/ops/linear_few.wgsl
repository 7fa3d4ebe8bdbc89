// linear_gemv.wgsl - y[m, n] for one row (TILE_M = 1) or up to four (TILE_M = 4) of x and TILE_N rows of w.
// A workgroup's invocations are QUADS quads of weight rows times slices of K; every invocation has work. Each reads
// one vec4<u32> (a unit of 8 elements of 4 rows) a step; neighbouring invocations read neighbouring words.

const QUADS: u32 = TILE_N / 4u;
const SLICES: u32 = WG_X / QUADS;
const UNITS: u32 = (K + 7u) / 8u;
const K4: u32 = K / 4u;

var<workgroup> partial: array<vec4<f32>, WG_X>;
var<workgroup> sums: array<f32, WG_X>;
var<workgroup> fewer: array<f32, WG_X / 8u>;

// x[m, 4i .. 4i+3], zero past the row.
fn load_x(m: u32, i: u32) -> vec4<f32> {
    if (K % 8u != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[m * K4 + i];
}

fn dot_unit(sum: vec4<f32>, lo: vec4<f32>, hi: vec4<f32>, w0: pair, w1: pair, w2: pair, w3: pair) -> vec4<f32> {
    var s = sum;
    s = fma(w0.low, vec4<f32>(lo.x), s);
    s = fma(w1.low, vec4<f32>(lo.y), s);
    s = fma(w2.low, vec4<f32>(lo.z), s);
    s = fma(w3.low, vec4<f32>(lo.w), s);
    s = fma(w0.high, vec4<f32>(hi.x), s);
    s = fma(w1.high, vec4<f32>(hi.y), s);
    s = fma(w2.high, vec4<f32>(hi.z), s);
    return fma(w3.high, vec4<f32>(hi.w), s);
}

// acc + this unit of x's row m times the quad's weights.
fn add_row(acc: vec4<f32>, m: u32, u: u32, w0: pair, w1: pair, w2: pair, w3: pair, scale: vec4<f32>, low: vec4<f32>) -> vec4<f32> {
    let a = load_x(m, 2u * u);
    let b = load_x(m, 2u * u + 1u);
    if (!W_QUANTIZED) {
        return dot_unit(acc, a, b, w0, w1, w2, w3);
    }
    let product = dot_unit(vec4<f32>(), a, b, w0, w1, w2, w3);
    if (STORAGE == STORE_Q4A) {
        let total = dot(a + b, vec4<f32>(1.0));
        return fma(product, scale, fma(-low, vec4<f32>(total), acc));
    }
    return fma(product, scale, acc);
}

// Sums a vec4 over the slices; the result for row r < TILE_N is in sums[r] of invocation r.
fn reduce(value: vec4<f32>, lid: u32) {
    partial[lid] = value;
    workgroupBarrier();
    // Every invocation adds 4 slices of one row, then an eighth of them 8 of those sums, then one for each row the rest.
    let r = lid % TILE_N;
    let first = (lid / TILE_N) * 4u;
    var s = 0.0;
    for (var i = 0u; i < 4u; i++) {
        s += partial[(first + i) * QUADS + r / 4u][r % 4u];
    }
    sums[lid] = s;
    workgroupBarrier();
    if (lid < WG_X / 8u) {
        s = 0.0;
        for (var i = 0u; i < 8u; i++) {
            s += sums[((lid / TILE_N) * 8u + i) * TILE_N + r];
        }
        fewer[lid] = s;
    }
    workgroupBarrier();
    if (lid < TILE_N) {
        s = 0.0;
        for (var i = 0u; i < WG_X / 8u / TILE_N; i++) {
            s += fewer[i * TILE_N + lid];
        }
        sums[lid] = s;
    }
}

fn store(m: u32, tile: u32, lid: u32) {
    let n = tile * TILE_N + lid;
    if (lid < TILE_N && n < p.n_part && m < p.m) {
        put(m, n, sums[lid]);
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let tile = wid.z * nwg.x + wid.x;
    if (tile * TILE_N >= p.n_part) {
        return;
    }
    let quad = tile * QUADS + (lid % QUADS);
    let m = wid.y * TILE_M;
    let last = p.m - 1u;
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    for (var u = lid / QUADS; u < UNITS; u += SLICES) {
        let at = quad_index(quad, u * UNIT_WORDS, p.kw);
        let first = wdata[at];
        let w0 = unit_pair(at, first, 0u);
        let w1 = unit_pair(at, first, 1u);
        let w2 = unit_pair(at, first, 2u);
        let w3 = unit_pair(at, first, 3u);
        var scale = vec4<f32>();
        var low = vec4<f32>();
        if (W_QUANTIZED) {
            scale = quad_scale(quad, u * 8u);
        }
        if (STORAGE == STORE_Q4A) {
            low = quad_min(quad, u * 8u);
        }
        a0 = add_row(a0, m, u, w0, w1, w2, w3, scale, low);
        if (TILE_M > 1u) {
            a1 = add_row(a1, min(m + 1u, last), u, w0, w1, w2, w3, scale, low);
            a2 = add_row(a2, min(m + 2u, last), u, w0, w1, w2, w3, scale, low);
            a3 = add_row(a3, min(m + 3u, last), u, w0, w1, w2, w3, scale, low);
        }
    }
    reduce(a0, lid);
    store(m, tile, lid);
    if (TILE_M > 1u) {
        workgroupBarrier();
        reduce(a1, lid);
        store(m + 1u, tile, lid);
        workgroupBarrier();
        reduce(a2, lid);
        store(m + 2u, tile, lid);
        workgroupBarrier();
        reduce(a3, lid);
        store(m + 3u, tile, lid);
    }
}

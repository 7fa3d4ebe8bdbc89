// linear_gemm8.wgsl - tiled product for many rows in 8-bit integers: TILE_M x TILE_N outputs a workgroup, a block of 32
// along K a step, through workgroup memory. An invocation computes MICRO_M x MICRO_N outputs, whose rows are THREADS_M
// or THREADS_N apart, so that neighbouring invocations read neighbouring vec4. SLICES parts of a workgroup each take
// every SLICES-th block, and add up at the end. The next step is loaded into registers while this one is computed.
//
// Where dot products take two cycles and all else one, a block costs an output 16 cycles of dots, 4 of additions and 3
// of scales; so the rest is kept small: what an invocation loads lies a fixed distance apart from step to step, and
// scales are stored as they come.

const THREADS_M: u32 = TILE_M / MICRO_M;
const THREADS_N: u32 = TILE_N / MICRO_N;
const M4: u32 = MICRO_M / 4u;
const NEAR: u32 = min(THREADS_N, 8u);
const LANES: u32 = THREADS_M * THREADS_N; // of a slice
const STEPS: u32 = (BLOCKS + SLICES - 1u) / SLICES;
// Scale groups of a block, and what an invocation loads a step.
const PARTS: u32 = select(1u, 2u, GROUP == 16u);
const X_LOADS: u32 = (2u * TILE_M + LANES - 1u) / LANES;
const W_LOADS: u32 = (2u * TILE_N + LANES - 1u) / LANES;
const XS_LOADS: u32 = (TILE_M + LANES - 1u) / LANES;
const WS_LOADS: u32 = (PARTS * TILE_N + LANES - 1u) / LANES;
const MINS: bool = STORAGE == STORE_Q4A;

const_assert LANES * SLICES == WG_X;
const_assert M4 * MICRO_N <= 16u && (SLICES - 1u) * LANES <= 2u * TILE_M * SLICES;

var<workgroup> xs: array<vec4<u32>, 2u * TILE_M * SLICES>;         // [half][row]
var<workgroup> ws: array<vec4<u32>, 2u * TILE_N * SLICES>;
var<workgroup> x_scale: array<f32, TILE_M * SLICES>;
var<workgroup> w_scale: array<f32, PARTS * TILE_N * SLICES>;       // [part][row]
var<workgroup> x_sum: array<f32, select(1u, TILE_M * SLICES, MINS)>;
var<workgroup> w_min: array<f32, select(1u, TILE_N * SLICES, MINS)>;

var<private> acc: array<vec4<f32>, M4 * MICRO_N>; // [n][quad of m]
// Where an invocation reads in block 0, and what it read of a step.
var<private> x_first: array<u32, X_LOADS>;
var<private> w_first: array<u32, W_LOADS>;
var<private> xs_first: array<u32, XS_LOADS>;
var<private> ws_row: array<u32, WS_LOADS>;
var<private> xr: array<vec4<u32>, X_LOADS>;
var<private> wr: array<vec4<u32>, W_LOADS>;
var<private> xsr: array<vec2<f32>, XS_LOADS>;
var<private> wsr: array<u32, WS_LOADS>;
var<private> wmr: array<u32, WS_LOADS>;

// Row r of the tile in the part of w; a gated tile is half gate rows, half up rows of the same columns. Rows past the
// end repeat the last one and are not stored.
fn weight_row(tile: u32, r: u32) -> u32 {
    var n = tile * TILE_N + r;
    if (GATED == 1u) {
        n = r / (TILE_N / 2u) * p.n + tile * (TILE_N / 2u) + r % (TILE_N / 2u);
    }
    return min(n, p.n_part - 1u);
}

// Scales go to the last invocations first: the first ones load x's.
fn ws_index(lane: u32, l: u32) -> u32 {
    return LANES - 1u - lane + l * LANES;
}

fn prepare(lane: u32, m_first: u32, tile: u32) {
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lane + l * LANES;
        x_first[l] = i / TILE_M * p.m + min(m_first + i % TILE_M, p.m - 1u);
    }
    for (var l = 0u; l < W_LOADS; l++) {
        let i = lane + l * LANES;
        w_first[l] = w_index(weight_row(tile, i % TILE_N), i / TILE_N * (BLOCK_WORDS / 2u), p.kw);
    }
    for (var l = 0u; l < XS_LOADS; l++) {
        xs_first[l] = min(m_first + lane + l * LANES, p.m - 1u);
    }
    for (var l = 0u; l < WS_LOADS; l++) {
        ws_row[l] = w_index(weight_row(tile, ws_index(lane, l) % TILE_N), 0u, p.groups);
    }
}

fn load_step(step: u32, slice: u32, lane: u32) {
    let wanted = step * SLICES + slice;
    let block = select(min(wanted, BLOCKS - 1u), wanted, BLOCKS % SLICES == 0u);
    for (var l = 0u; l < X_LOADS; l++) {
        if (X_LOADS * LANES == 2u * TILE_M || lane + l * LANES < 2u * TILE_M) {
            xr[l] = x[x_first[l] + 2u * block * p.m];
        }
    }
    for (var l = 0u; l < W_LOADS; l++) {
        if (W_LOADS * LANES == 2u * TILE_N || lane + l * LANES < 2u * TILE_N) {
            let at = w_first[l] + block * (BLOCK_WORDS * PACK_ROWS);
            wr[l].x = wdata[at];
            wr[l].y = wdata[at + PACK_ROWS];
            if (STORAGE == STORE_Q8) {
                wr[l].z = wdata[at + 2u * PACK_ROWS];
                wr[l].w = wdata[at + 3u * PACK_ROWS];
            }
        }
    }
    for (var l = 0u; l < XS_LOADS; l++) {
        if (lane + l * LANES < TILE_M) {
            xsr[l] = xscales[xs_first[l] + block * p.m];
            if (BLOCKS % SLICES != 0u && wanted >= BLOCKS) {
                xsr[l] = vec2<f32>();
            }
        }
    }
    for (var l = 0u; l < WS_LOADS; l++) {
        let i = ws_index(lane, l);
        if (i < PARTS * TILE_N) {
            let g = min((block * 32u + i / TILE_N * 16u) / GROUP, p.groups - 1u);
            let word = (ws_row[l] + g * PACK_ROWS) / select(1u, 2u, SCALE_F16 == 1u);
            wsr[l] = wscales[word];
            if (MINS) {
                wmr[l] = wmins[word];
            }
        }
    }
}

// The number of that row in the word that was loaded.
fn unpack_scale(word: u32, row: u32) -> f32 {
    if (SCALE_F16 == 0u) {
        return bitcast<f32>(word);
    }
    return unpack2x16float(word >> (16u * (row % 2u))).x;
}

fn store_step(slice: u32, lane: u32) {
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lane + l * LANES;
        if (X_LOADS * LANES == 2u * TILE_M || i < 2u * TILE_M) {
            xs[slice * 2u * TILE_M + i] = xr[l];
        }
    }
    for (var l = 0u; l < W_LOADS; l++) {
        let i = lane + l * LANES;
        if (W_LOADS * LANES == 2u * TILE_N || i < 2u * TILE_N) {
            ws[slice * 2u * TILE_N + i] = unpack_codes(wr[l]);
        }
    }
    for (var l = 0u; l < XS_LOADS; l++) {
        let i = lane + l * LANES;
        if (i < TILE_M) {
            x_scale[slice * TILE_M + i] = xsr[l].x;
            if (MINS) {
                x_sum[slice * TILE_M + i] = xsr[l].y;
            }
        }
    }
    for (var l = 0u; l < WS_LOADS; l++) {
        let i = ws_index(lane, l);
        if (i < PARTS * TILE_N) {
            w_scale[slice * PARTS * TILE_N + i] = unpack_scale(wsr[l], ws_row[l]);
            if (MINS) {
                w_min[slice * TILE_N + i] = unpack_scale(wmr[l], ws_row[l]);
            }
        }
    }
}

// Products of a word of w with the words of four rows of x.
fn dots(x0: u32, x1: u32, x2: u32, x3: u32, w: u32) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(x0, w), dot4I8Packed(x1, w), dot4I8Packed(x2, w), dot4I8Packed(x3, w));
}

// d + the products of 16 codes of w with those of four rows of x. Word by word: an operand stays for four dots.
fn add_dots(d: vec4<i32>, x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32>, w: vec4<u32>) -> vec4<i32> {
    var sum = d + dots(x0.x, x1.x, x2.x, x3.x, w.x);
    sum += dots(x0.y, x1.y, x2.y, x3.y, w.y);
    sum += dots(x0.z, x1.z, x2.z, x3.z, w.z);
    return sum + dots(x0.w, x1.w, x2.w, x3.w, w.w);
}

// Integers below 2^22 as floats, which start as the bits of a float whose last bit is 1: a subtraction costs less than
// a conversion.
const START: i32 = 0x4B400000;
fn floats_of(d: vec4<i32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(d) - 12582912.0;
}

// Adds the step's block in the slice.
fn compute_step(slice: u32, tx: u32, ty: u32) {
    let x_row = slice * 2u * TILE_M + ty;
    let scale_row = slice * TILE_M + ty;
    var xv: array<vec4<u32>, 2u * MICRO_M>; // [half][row]
    for (var a = 0u; a < 2u * MICRO_M; a++) {
        xv[a] = xs[x_row + a * THREADS_M];
    }
    var scale: array<vec4<f32>, M4>;
    for (var a = 0u; a < MICRO_M; a++) {
        scale[a / 4u][a % 4u] = x_scale[scale_row + a * THREADS_M];
    }
    for (var b = 0u; b < MICRO_N; b++) {
        let row = b * THREADS_N + tx;
        let first = ws[slice * 2u * TILE_N + row];
        let second = ws[slice * 2u * TILE_N + TILE_N + row];
        let w = w_scale[slice * PARTS * TILE_N + row];
        for (var a = 0u; a < MICRO_M; a += 4u) {
            let e = MICRO_M + a;
            let o = b * M4 + a / 4u;
            var d = add_dots(vec4<i32>(START), xv[a], xv[a + 1u], xv[a + 2u], xv[a + 3u], first);
            if (PARTS == 2u) {
                acc[o] = fma(floats_of(d), scale[a / 4u] * w, acc[o]);
                d = vec4<i32>(START);
            }
            d = add_dots(d, xv[e], xv[e + 1u], xv[e + 2u], xv[e + 3u], second);
            if (PARTS == 2u) {
                acc[o] = fma(floats_of(d), scale[a / 4u] * w_scale[slice * PARTS * TILE_N + TILE_N + row], acc[o]);
            } else {
                acc[o] = fma(floats_of(d), scale[a / 4u] * w, acc[o]);
            }
            if (MINS) {
                let least = -w_min[slice * TILE_N + row];
                for (var c = 0u; c < 4u; c++) {
                    acc[o][c] = fma(least, x_sum[scale_row + (a + c) * THREADS_M], acc[o][c]);
                }
            }
        }
    }
}

// The sum of the slices' vec4 i, in the first one: it passes through x's tile.
fn add_part(i: u32, slice: u32, lane: u32) {
    if (i >= M4 * MICRO_N) {
        return;
    }
    workgroupBarrier();
    if (slice > 0u) {
        xs[(slice - 1u) * LANES + lane] = bitcast<vec4<u32>>(acc[i]);
    }
    workgroupBarrier();
    if (slice == 0u) {
        for (var s = 0u; s < SLICES - 1u; s++) {
            acc[i] += bitcast<vec4<f32>>(xs[s * LANES + lane]);
        }
    }
}

// No loop: drivers do not unroll one with barriers, and keep an array that is indexed by its counter in memory.
fn add_slices(slice: u32, lane: u32) {
    add_part(0u, slice, lane);
    add_part(1u, slice, lane);
    add_part(2u, slice, lane);
    add_part(3u, slice, lane);
    add_part(4u, slice, lane);
    add_part(5u, slice, lane);
    add_part(6u, slice, lane);
    add_part(7u, slice, lane);
    add_part(8u, slice, lane);
    add_part(9u, slice, lane);
    add_part(10u, slice, lane);
    add_part(11u, slice, lane);
    add_part(12u, slice, lane);
    add_part(13u, slice, lane);
    add_part(14u, slice, lane);
    add_part(15u, slice, lane);
}

// Bias and residual of all outputs before the first is stored: a load does not pass a store.
fn finish_tile(m_first: u32, tile: u32, tx: u32, ty: u32) {
    for (var b = 0u; b < MICRO_N; b++) {
        let n = min(tile * TILE_N + b * THREADS_N + tx, p.n_part - 1u);
        for (var a = 0u; a < MICRO_M; a++) {
            let m = min(m_first + a * THREADS_M + ty, p.m - 1u);
            acc[b * M4 + a / 4u][a % 4u] = W_UNIT * acc[b * M4 + a / 4u][a % 4u] + addend(m, n);
        }
    }
}

fn store_tile(m_first: u32, tile: u32, tx: u32, ty: u32) {
    for (var a = 0u; a < MICRO_M; a++) {
        let m = m_first + a * THREADS_M + ty;
        for (var b = 0u; b < MICRO_N; b++) {
            let n = tile * TILE_N + b * THREADS_N + tx;
            if (m < p.m && n < p.n_part) {
                y[m * p.n + p.n0 + n] = acc[b * M4 + a / 4u][a % 4u];
            }
        }
    }
}

fn store_gated(m_first: u32, tile: u32, tx: u32, ty: u32) {
    for (var a = 0u; a < MICRO_M; a++) {
        let m = m_first + a * THREADS_M + ty;
        for (var b = 0u; b < MICRO_N / 2u; b++) {
            let n = tile * (TILE_N / 2u) + b * THREADS_N + tx;
            if (m < p.m && n < p.n) {
                put_gated(m, n, W_UNIT * acc[b * M4 + a / 4u][a % 4u],
                          W_UNIT * acc[(MICRO_N / 2u + b) * M4 + a / 4u][a % 4u]);
            }
        }
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let tile = wid.z * nwg.x + wid.x;
    if (tile * TILE_N >= p.n_part) {
        return;
    }
    let m_first = wid.y * TILE_M;
    let slice = lid / LANES;
    let lane = lid % LANES;
    // Of 16 neighbours 8 x 2 are neighbours in the tile: they read the fewest different words of both operands.
    let tx = lane % (2u * NEAR) / 2u + lane / (NEAR * THREADS_M) * NEAR;
    let ty = lane % 2u + lane / (2u * NEAR) % (THREADS_M / 2u) * 2u;
    prepare(lane, m_first, tile);
    load_step(0u, slice, lane);
    for (var step = 0u; step < STEPS; step++) {
        workgroupBarrier();
        store_step(slice, lane);
        workgroupBarrier();
        if (step + 1u < STEPS) {
            load_step(step + 1u, slice, lane);
        }
        compute_step(slice, tx, ty);
    }
    if (SLICES > 1u) {
        add_slices(slice, lane);
    }
    if (slice > 0u) {
        return;
    }
    if (GATED == 1u) {
        store_gated(m_first, tile, tx, ty);
        return;
    }
    finish_tile(m_first, tile, tx, ty);
    store_tile(m_first, tile, tx, ty);
}

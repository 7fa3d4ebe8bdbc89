// linear_gemm8.wgsl - tiled product for many rows in 8-bit integers: TILE_M x TILE_N outputs a workgroup, a block of 32
// along K a step, through workgroup memory. An invocation computes MICRO_M x MICRO_N outputs, whose rows are THREADS_M
// or THREADS_N apart, so that neighbouring invocations read neighbouring vec4. SLICES parts of a workgroup each take
// every SLICES-th block, and add up at the end. With BUFFERS = 2 a step needs one barrier. With PREFETCH = 1 the next
// step is loaded into registers while this one is computed, which pays where few workgroups share a multiprocessor.

const THREADS_M: u32 = TILE_M / MICRO_M;
const THREADS_N: u32 = TILE_N / MICRO_N;
const LANES: u32 = THREADS_M * THREADS_N; // of a slice
const STEPS: u32 = (BLOCKS + SLICES - 1u) / SLICES;
const M4: u32 = MICRO_M / 4u;
const N4: u32 = MICRO_N / 4u;
// Scale groups of a block, and what an invocation loads a step.
const PARTS: u32 = select(1u, 2u, GROUP == 16u);
const X_LOADS: u32 = (2u * TILE_M + LANES - 1u) / LANES;
const W_LOADS: u32 = (2u * TILE_N + LANES - 1u) / LANES;
const XS_LOADS: u32 = (TILE_M / 4u + LANES - 1u) / LANES;
const WS_LOADS: u32 = (PARTS * TILE_N / 4u + LANES - 1u) / LANES;
const MIN_SIZE: u32 = select(1u, PARTS * TILE_N / 4u * SLICES * BUFFERS, STORAGE == STORE_Q4A);
const SUM_PARTS: u32 = select(0u, PARTS, STORAGE != STORE_Q8);

const_assert LANES * SLICES == WG_X;
const_assert SLICES * LANES - LANES <= 2u * TILE_M * SLICES * BUFFERS;

var<workgroup> xs: array<vec4<u32>, 2u * TILE_M * SLICES * BUFFERS>;         // [half][row]
var<workgroup> ws: array<vec4<u32>, 2u * TILE_N * SLICES * BUFFERS>;
// Scales and sums, of four rows of an invocation in a vec4: [part][quad of the invocation's rows][THREADS_M or _N].
var<workgroup> x_scale: array<vec4<f32>, TILE_M / 4u * SLICES * BUFFERS>;
var<workgroup> x_sum: array<vec4<i32>, max(SUM_PARTS, 1u) * TILE_M / 4u * SLICES * BUFFERS>;
var<workgroup> w_scale: array<vec4<f32>, PARTS * TILE_N / 4u * SLICES * BUFFERS>;
var<workgroup> w_min: array<vec4<f32>, MIN_SIZE>;

var<private> acc: array<vec4<f32>, M4 * MICRO_N>; // [n][quad of m]
var<private> xr: array<vec4<u32>, X_LOADS>;
var<private> wr: array<vec4<u32>, W_LOADS>;
var<private> xsr: array<array<vec2<u32>, 4>, XS_LOADS>;
var<private> wsr: array<vec4<u32>, WS_LOADS>;
var<private> wmr: array<vec4<u32>, WS_LOADS>;

// Row r of the tile in the part of w; a gated tile is half gate rows, half up rows of the same columns.
fn weight_row(tile: u32, r: u32) -> u32 {
    var n = tile * TILE_N + r;
    if (GATED == 1u) {
        n = r / (TILE_N / 2u) * p.n + tile * (TILE_N / 2u) + r % (TILE_N / 2u);
    }
    return min(n, p.n_part - 1u);
}

// The row whose scale is number c of vec4 i of the tile's scales.
fn scale_row(tile: u32, i: u32, c: u32) -> u32 {
    let j = i % (TILE_N / 4u);
    return weight_row(tile, j % THREADS_N + THREADS_N * (4u * (j / THREADS_N) + c));
}

// The numbers of those rows in the words that were loaded.
fn unpack_scale(words: vec4<u32>, tile: u32, i: u32) -> vec4<f32> {
    if (SCALE_F16 == 0u) {
        return bitcast<vec4<f32>>(words);
    }
    var v = vec4<f32>();
    for (var c = 0u; c < 4u; c++) {
        v[c] = unpack2x16float(words[c])[scale_row(tile, i, c) % 2u];
    }
    return v;
}

// Rows past the end repeat the last one and are not stored.
fn load_step(step: u32, slice: u32, lane: u32, m_first: u32, tile: u32) {
    let wanted = step * SLICES + slice;
    let block = min(wanted, BLOCKS - 1u);
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lane + l * LANES;
        if (X_LOADS * LANES == 2u * TILE_M || i < 2u * TILE_M) {
            xr[l] = x[(2u * block + i / TILE_M) * p.m + min(m_first + i % TILE_M, p.m - 1u)];
        }
    }
    for (var l = 0u; l < W_LOADS; l++) {
        let i = lane + l * LANES;
        if (W_LOADS * LANES == 2u * TILE_N || i < 2u * TILE_N) {
            wr[l] = load_codes(weight_row(tile, i % TILE_N), block, i / TILE_N);
        }
    }
    for (var l = 0u; l < XS_LOADS; l++) {
        let i = lane + l * LANES;
        if (i < TILE_M / 4u) {
            for (var c = 0u; c < 4u; c++) {
                let r = i % THREADS_M + THREADS_M * (4u * (i / THREADS_M) + c);
                xsr[l][c] = xscales[block * p.m + min(m_first + r, p.m - 1u)];
                if (SLICES > 1u && wanted >= BLOCKS) {
                    xsr[l][c].x = 0u;
                }
            }
        }
    }
    for (var l = 0u; l < WS_LOADS; l++) {
        let i = LANES - 1u - lane + l * LANES;
        if (i < PARTS * TILE_N / 4u) {
            let g = min((block * 32u + i / (TILE_N / 4u) * 16u) / GROUP, p.groups - 1u);
            for (var c = 0u; c < 4u; c++) {
                let word = w_index(scale_row(tile, i, c), g, p.groups) / select(1u, 2u, SCALE_F16 == 1u);
                wsr[l][c] = wscales[word];
                if (STORAGE == STORE_Q4A) {
                    wmr[l][c] = wmins[word];
                }
            }
        }
    }
}

fn store_step(at: u32, lane: u32, tile: u32) {
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lane + l * LANES;
        if (X_LOADS * LANES == 2u * TILE_M || i < 2u * TILE_M) {
            xs[at * 2u * TILE_M + i] = xr[l];
        }
    }
    for (var l = 0u; l < W_LOADS; l++) {
        let i = lane + l * LANES;
        if (W_LOADS * LANES == 2u * TILE_N || i < 2u * TILE_N) {
            ws[at * 2u * TILE_N + i] = unpack_codes(wr[l]);
        }
    }
    for (var l = 0u; l < XS_LOADS; l++) {
        let i = lane + l * LANES;
        if (i < TILE_M / 4u) {
            let r = xsr[l];
            x_scale[at * (TILE_M / 4u) + i] = bitcast<vec4<f32>>(vec4<u32>(r[0].x, r[1].x, r[2].x, r[3].x));
            let sums = vec4<u32>(r[0].y, r[1].y, r[2].y, r[3].y);
            let first = bitcast<vec4<i32>>(sums << vec4<u32>(16u)) >> vec4<u32>(16u);
            let second = bitcast<vec4<i32>>(sums) >> vec4<u32>(16u);
            if (SUM_PARTS == 1u) {
                x_sum[at * (TILE_M / 4u) + i] = start_of(first + second);
            }
            if (SUM_PARTS == 2u) {
                x_sum[at * (TILE_M / 2u) + i] = start_of(first);
                x_sum[at * (TILE_M / 2u) + TILE_M / 4u + i] = start_of(second);
            }
        }
    }
    for (var l = 0u; l < WS_LOADS; l++) {
        let i = LANES - 1u - lane + l * LANES;
        if (i < PARTS * TILE_N / 4u) {
            w_scale[at * (PARTS * TILE_N / 4u) + i] = unpack_scale(wsr[l], tile, i);
            if (STORAGE == STORE_Q4A) {
                w_min[at * (PARTS * TILE_N / 4u) + i] = unpack_scale(wmr[l], tile, i);
            }
        }
    }
}

// What the sums of x's codes are needed for: the start of the integer sum, which takes 8 off every 4-bit code; with
// minimums as they are.
fn start_of(sum: vec4<i32>) -> vec4<i32> {
    if (STORAGE == STORE_Q4) {
        return -8 * sum;
    }
    return sum;
}

// Adds the step's block in buffer and slice `at`.
fn compute_step(at: u32, tx: u32, ty: u32) {
    var xv: array<vec4<u32>, 2u * MICRO_M>; // [half][row]
    for (var a = 0u; a < 2u * MICRO_M; a++) {
        xv[a] = xs[at * 2u * TILE_M + a * THREADS_M + ty];
    }
    var scale: array<vec4<f32>, M4>;
    for (var j = 0u; j < M4; j++) {
        scale[j] = x_scale[at * (TILE_M / 4u) + j * THREADS_M + ty];
    }
    for (var part = 0u; part < PARTS; part++) {
        var sums: array<vec4<i32>, M4>;
        for (var j = 0u; j < M4 && SUM_PARTS > 0u; j++) {
            sums[j] = x_sum[at * (SUM_PARTS * TILE_M / 4u) + part * (TILE_M / 4u) + j * THREADS_M + ty];
        }
        for (var i = 0u; i < N4; i++) {
            let ws_at = at * (PARTS * TILE_N / 4u) + part * (TILE_N / 4u) + i * THREADS_N + tx;
            let w4 = w_scale[ws_at];
            for (var c = 0u; c < 4u; c++) {
                let row = at * 2u * TILE_N + (4u * i + c) * THREADS_N + tx;
                let w_first = ws[row + part * TILE_N];
                var w_second = vec4<u32>();
                if (PARTS == 1u) {
                    w_second = ws[row + TILE_N];
                }
                for (var j = 0u; j < M4; j++) {
                    let a = part * MICRO_M + 4u * j;
                    var d = vec4<i32>();
                    if (STORAGE == STORE_Q4) {
                        d = sums[j];
                    }
                    d = dot16x4(d, xv[a], xv[a + 1u], xv[a + 2u], xv[a + 3u], w_first);
                    if (PARTS == 1u) {
                        let b = MICRO_M + 4u * j;
                        d = dot16x4(d, xv[b], xv[b + 1u], xv[b + 2u], xv[b + 3u], w_second);
                    }
                    let o = (4u * i + c) * M4 + j;
                    acc[o] = fma(vec4<f32>(d), scale[j] * w4[c], acc[o]);
                    if (STORAGE == STORE_Q4A) {
                        acc[o] = fma(vec4<f32>(-w_min[ws_at][c]), scale[j] * vec4<f32>(sums[j]), acc[o]);
                    }
                }
            }
        }
    }
}

// The sum of the slices, in the first one: an invocation's numbers pass through x's tile, four at a time.
fn add_slices(slice: u32, lane: u32) {
    for (var i = 0u; i < M4 * MICRO_N; i++) {
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
}

fn store_tile(m_first: u32, tile: u32, tx: u32, ty: u32) {
    for (var a = 0u; a < MICRO_M; a++) {
        let m = m_first + a * THREADS_M + ty;
        if (m >= p.m) {
            continue;
        }
        if (GATED == 1u) {
            for (var b = 0u; b < MICRO_N / 2u; b++) {
                let n = tile * (TILE_N / 2u) + b * THREADS_N + tx;
                if (n < p.n) {
                    put_gated(m, n, acc[b * M4 + a / 4u][a % 4u], acc[(MICRO_N / 2u + b) * M4 + a / 4u][a % 4u]);
                }
            }
            continue;
        }
        for (var b = 0u; b < MICRO_N; b++) {
            let n = tile * TILE_N + b * THREADS_N + tx;
            if (n < p.n_part) {
                put(m, n, acc[b * M4 + a / 4u][a % 4u]);
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
    let tx = lane % 16u / 2u + lane / (8u * THREADS_M) * 8u;
    let ty = lane % 2u + lane / 16u % (THREADS_M / 2u) * 2u;
    for (var i = 0u; i < M4 * MICRO_N; i++) {
        acc[i] = vec4<f32>();
    }
    if (PREFETCH == 1u) {
        load_step(0u, slice, lane, m_first, tile);
    }
    for (var step = 0u; step < STEPS; step++) {
        let at = step % BUFFERS * SLICES + slice;
        if (BUFFERS == 1u) {
            workgroupBarrier();
        }
        if (PREFETCH == 0u) {
            load_step(step, slice, lane, m_first, tile);
        }
        store_step(at, lane, tile);
        workgroupBarrier();
        if (PREFETCH == 1u && step + 1u < STEPS) {
            load_step(step + 1u, slice, lane, m_first, tile);
        }
        compute_step(at, tx, ty);
    }
    if (SLICES > 1u) {
        add_slices(slice, lane);
    }
    if (slice == 0u) {
        store_tile(m_first, tile, tx, ty);
    }
}

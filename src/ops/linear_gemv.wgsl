// linear_gemv.wgsl - y[m, n] for one row of x and TILE_N rows of w a workgroup: what its endings (linear_gemv_barrier,
// linear_gemv_subgroup) share. TILE_N rows are TILES tiles of QUADS quads; the lanes of a tile are its quads times
// slices of K, and take a step of QUADS units (of 8 elements) in each pass over K. A pass is WG_X units: every lane
// prepares one unit of x for the lanes that take the same step.
//
// With it comes linear_x_float or linear_x_int: keep_x, which prepares a unit of x, and add_step, the product.

const UNITS: u32 = (K + 31u) / 32u * 4u; // of a packed row
const WORDS: u32 = UNITS * UNIT_WORDS;
const LAST_QUAD: u32 = (N + 15u) / 16u * 4u - 1u; // the blocks of 16 rows are whole
const GROUP_QUADS: u32 = TILE_N / 4u;    // of the workgroup
const TILES: u32 = GROUP_QUADS / QUADS;
const OUTPUTS: u32 = select(TILE_N, TILE_N / 2u, GATED == 1u);
const K4: u32 = K / 4u;
const PASSES: u32 = (UNITS + WG_X - 1u) / WG_X;
// Units of a step that share a scale, and their scales.
const RUN: u32 = select(QUADS, 2u, GROUP == 16u && QUADS > 2u);
const RUNS: u32 = QUADS / RUN;
// Units of a step that are read ahead, and their words (for each row).
const UNITS_AHEAD: u32 = select(0u, QUADS, W_QUANTIZED);
const AHEAD: u32 = max(UNITS_AHEAD * UNIT_WORDS, 1u);

struct Step {
    words: array<vec4<u32>, AHEAD>,
    scales: array<vec4<u32>, RUNS>, // as stored: f16 in two words, or f32
    mins: array<vec4<u32>, RUNS>,
}

var<private> acc: array<vec4<f32>, TILES>;
var<private> squares: f32;

// Quad i of the workgroup, as a quad of the part. With a gate the first half are rows of it, the others of up.
fn quad_of(tile: u32, i: u32) -> u32 {
    var quad = tile * GROUP_QUADS + i;
    if (GATED == 1u) {
        quad = tile * (GROUP_QUADS / 2u) + i;
        if (i >= GROUP_QUADS / 2u) {
            quad += N / 8u - GROUP_QUADS / 2u;
        }
    }
    return min(quad, LAST_QUAD);
}

// A step of w from unit `first` on; zeros beyond the last one.
fn read_step(quad: u32, first: u32) -> Step {
    var s: Step;
    if (W_QUANTIZED && first < UNITS) {
        for (var i = 0u; i < UNITS_AHEAD; i++) {
            let at = quad_index(quad, (first + i) * UNIT_WORDS, WORDS);
            for (var j = 0u; j < UNIT_WORDS; j++) {
                s.words[i * UNIT_WORDS + j] = wdata[at + 4u * j];
            }
        }
        for (var r = 0u; r < RUNS; r++) {
            s.scales[r] = quad_scale_words(quad, (first + r * RUN) * 8u);
            if (STORAGE == STORE_Q4A) {
                s.mins[r] = quad_min_words(quad, (first + r * RUN) * 8u);
            }
        }
    }
    return s;
}

// Of a vector of K: a unit.
struct Halves { low: vec4<f32>, high: vec4<f32> }

// What a lane reads for a pass. x comes first: what was asked for first arrives first, and all wait for x.
struct Pass {
    x: Halves,
    norm: Halves,
    w: Step, // of the first tile
}

struct Place {
    tile: u32, // workgroup
    m: u32,
    lane: u32,
    slot: u32, // the first unit of the lane's step in a pass
    q: u32,    // its quad in a tile
}

fn read_x(m: u32, unit: u32) -> Halves {
    var v: Halves;
    if (2u * unit < K4) {
        v.low = x[m * K4 + 2u * unit];
    }
    if (2u * unit + 1u < K4) {
        v.high = x[m * K4 + 2u * unit + 1u];
    }
    return v;
}

fn read_norm(unit: u32) -> Halves {
    var v: Halves;
    if (2u * unit < K4) {
        v.low = norm[2u * unit];
    }
    if (2u * unit + 1u < K4) {
        v.high = norm[2u * unit + 1u];
    }
    return v;
}

fn read_pass(at: Place, i: u32) -> Pass {
    var r: Pass;
    r.x = read_x(at.m, i * WG_X + at.lane);
    if (NORM == 1u) {
        r.norm = read_norm(i * WG_X + at.lane);
    }
    r.w = read_step(quad_of(at.tile, at.q), i * WG_X + at.slot);
    return r;
}

fn take_pass(r: ptr<function, Pass>, at: Place, i: u32) {
    var v = (*r).x;
    if (NORM == 1u) {
        squares += dot(v.low, v.low) + dot(v.high, v.high);
        v = Halves(v.low * (*r).norm.low, v.high * (*r).norm.high);
    }
    keep_x(at, i, v);
    let first = i * WG_X + at.slot;
    var next = (*r).w;
    for (var t = 0u; t < TILES; t++) {
        var w = next;
        if (t + 1u < TILES) {
            next = read_step(quad_of(at.tile, (t + 1u) * QUADS + at.q), first);
        }
        acc[t] = add_step(acc[t], &w, quad_of(at.tile, t * QUADS + at.q), first, at.slot);
    }
}

// The lane's part of the products: acc, and of the sum of squares of x. Two passes are read ahead,
// and in a pass one tile.
fn accumulate(tile: u32, m: u32, lane: u32) {
    let at = Place(tile, m, lane, lane / QUADS * QUADS, lane % QUADS);
    var even = read_pass(at, 0u);
    if (PASSES == 1u) {
        take_pass(&even, at, 0u);
        return;
    }
    var odd = read_pass(at, 1u);
    for (var i = 0u; i < PASSES; i += 2u) {
        take_pass(&even, at, i);
        even = read_pass(at, i + 2u);
        if (i + 1u < PASSES) {
            take_pass(&odd, at, i + 1u);
            odd = read_pass(at, i + 3u);
        }
    }
}

// What store will add, read ahead.
fn read_addend(tile: u32, m: u32, lane: u32) -> f32 {
    let n = tile * TILE_N + lane;
    if (GATED == 1u || lane >= TILE_N || n >= N) {
        return 0.0;
    }
    return addend(m, n);
}

// Stores output r of the workgroup from the sum of its row, or with a gate from those of its two rows.
fn store(tile: u32, m: u32, r: u32, sum: f32, up: f32, squares_of_x: f32, added: f32) {
    let n = tile * OUTPUTS + r;
    var scale = 1.0;
    if (NORM == 1u) {
        scale = inverseSqrt(squares_of_x / f32(K) + bitcast<f32>(EPS));
    }
    if (GATED == 1u) {
        if (n < N / 2u) {
            put_gated(m, n, sum * scale, up * scale);
        }
    } else if (n < N) {
        y[m * COLUMNS + N0 + n] = fma(sum, scale, added);
    }
}

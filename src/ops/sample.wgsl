// sample.wgsl - what the kernels of sampling share: base/sample_rule.h in WGSL, and sums over a workgroup. Row: SLICE
// (tokens of a workgroup), BINS (of gaps), HEAD (words before them), FAN (WG_X = FAN * FAN), OWN (1: a workgroup counts
// in memory of its own, 0: in `work`).
struct Params {
    n: u32,      // tokens of the vocabulary
    slices: u32, // n / SLICE, rounded up
    first: u32,  // where the row of logits begins
    begin: u32,  // the repetition window: tokens begin..end - 1 of the history
    end: u32,
    above: f32, // its factors
    below: f32,
    greedy: u32,
    top_k: u32, // n or more: off
    top_p: u32, // 0: off
    gap: f32,   // that min-p allows
    scale: f32, // of weights
    reach: f32,
    unit_scale: f32, // the same at temperature 1
    unit_reach: f32,
    word: u32, // the random one
    id_bits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> work: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>; // a key for each token; then the list: key, id

// The scratch `work`: HEAD words, the bins (count, low, high: BINS of each), then for each slice its best token (key, id)
// and its least key, then the slices' sums (low, high).
const LISTED: u32 = 0u;    // tokens of the list
const TOP: u32 = 1u;       // largest key on it
const BOTTOM: u32 = 2u;    // ~ the smallest
const MOST: u32 = 3u;      // largest key of all
const BIN_SCALE: u32 = 4u; // bits of a float
const K_BIN: u32 = 5u;     // where top-k ends, and the sum before it (three words)
const LOW_BIN: u32 = 9u;   // the first where top-p may end, and the sum before it
const HIGH_BIN: u32 = 13u; // the last where it may end
const FILTERS: u32 = 14u;  // TOP_K, TOP_P: which are on
const NO_BIN: u32 = 0xffffffffu;

// The kernels that need them read these bits from `work`. One software device compiles a kernel anew for every dispatch
// where large parts of it hang on a parameter alone.
const TOP_K: u32 = 1u;
const TOP_P: u32 = 2u;

const MAX_SLICES: u32 = 524288u / SLICE;
const BEST: u32 = HEAD + 3u * BINS;

fn sums_at() -> u32 {
    return BEST + 3u * p.slices;
}

// ---- the rule ---------------------------------------------------------------------------------

const LEAST_KEY: u32 = 0x017fffffu;

fn key_of(bits: u32) -> u32 {
    let given = bits & 0x7fffffffu;
    let tiny = given < 0x03800000u;
    let size = select(min(given, 0x7e800000u), 0u, tiny);
    let key = select(0x80000000u | size, 0x7fffffffu - size, (bits >> 31u) != 0u && !tiny);
    return select(key, 0u, given > 0x7f800000u);
}

fn value_of(key: u32) -> f32 {
    let k = max(key, LEAST_KEY);
    return bitcast<f32>(select(~k, k & 0x7fffffffu, (k >> 31u) != 0u));
}

fn mul_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let m = a1 * b0 + ((a0 * b0) >> 16u);
    let k = a0 * b1 + (m & 0xffffu);
    return a1 * b1 + (m >> 16u) + (k >> 16u);
}

fn weight(gap: f32, scale: f32, reach: f32) -> u32 {
    let t = u32(i32(min(gap, reach) * scale));
    let f = t << 6u;
    var v = 0x003e1950u;
    v = 0x025c178du - mul_high(f, v);
    v = 0x0e290391u - mul_high(f, v);
    v = 0x3d7cf79eu - mul_high(f, v);
    v = 0xb171f24bu - mul_high(f, v);
    return select(0u, ~mul_high(f, v) >> (t >> 26u), gap <= reach);
}

fn unit_weight(gap: f32) -> u32 {
    return weight(gap, p.unit_scale, p.unit_reach);
}

// The weight of a token that the filters by order have kept.
fn final_weight(gap: f32) -> u32 {
    return select(0u, weight(gap, p.scale, p.reach), gap <= p.gap);
}

// ---- numbers of 64 bits: (low, high) ----------------------------------------------------------

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}

// The part share / 2^32, rounded down.
fn part_of(a: vec2<u32>, share: u32) -> vec2<u32> {
    return add64(vec2<u32>(a.y * share, mul_high(a.y, share)), vec2<u32>(mul_high(a.x, share), 0u));
}

// ---- triples over a workgroup -----------------------------------------------------------------

// A sum (count, low and high word of weights), or a best one (key, id, least key).
struct Triple {
    a: u32,
    b: u32,
    c: u32,
}

const NOTHING: Triple = Triple(0u, 0u, 0u);

fn weights_of(s: Triple) -> vec2<u32> {
    return vec2<u32>(s.b, s.c);
}

fn add(s: Triple, t: Triple) -> Triple {
    let w = add64(weights_of(s), weights_of(t));
    return Triple(s.a + t.a, w.x, w.y);
}

fn at_least_one(need: vec2<u32>) -> vec2<u32> {
    return select(need, vec2<u32>(1u, 0u), need.x == 0u && need.y == 0u);
}

// Whether a sum has `need` tokens, or weights.
fn reaches(s: Triple, by_weight: bool, need: vec2<u32>) -> bool {
    return !less(select(vec2<u32>(s.a, 0u), weights_of(s), by_weight), need);
}

fn better(s: Triple, t: Triple) -> Triple {
    let second = t.a > s.a || (t.a == s.a && t.b < s.b);
    return Triple(select(s.a, t.a, second), select(s.b, t.b, second), min(s.c, t.c));
}

const NO_TOKEN: Triple = Triple(0u, 0xffffffffu, 0xffffffffu);

var<workgroup> parts: array<Triple, WG_X>;
var<workgroup> heads: array<Triple, FAN>;

// The best of all lanes. All invocations call this and the next.
fn best_of(own: Triple, lane: u32) -> Triple {
    workgroupBarrier();
    parts[lane] = own;
    workgroupBarrier();
    if (lane < FAN) {
        var some = parts[lane];
        for (var i = 1u; i < FAN; i++) {
            some = better(some, parts[lane + i * FAN]);
        }
        heads[lane] = some;
    }
    workgroupBarrier();
    var all = heads[0];
    for (var i = 1u; i < FAN; i++) {
        all = better(all, heads[i]);
    }
    return all;
}

fn part_if(s: Triple, wanted: bool) -> Triple {
    let mask = select(0u, 0xffffffffu, wanted);
    return Triple(s.a & mask, s.b & mask, s.c & mask);
}

// The sum of the lanes before this one. heads[i] is then the sum of lanes i * FAN to i * FAN + FAN - 1.
fn sum_before(own: Triple, lane: u32) -> Triple {
    workgroupBarrier();
    parts[lane] = own;
    workgroupBarrier();
    if (lane < FAN) {
        var some = NOTHING;
        for (var i = 0u; i < FAN; i++) {
            some = add(some, parts[lane * FAN + i]);
        }
        heads[lane] = some;
    }
    workgroupBarrier();
    var before = NOTHING;
    let first = lane / FAN * FAN;
    for (var i = 0u; i < FAN; i++) { // of fixed lengths: compilers unroll them
        before = add(before, part_if(heads[i], i * FAN < first));
        before = add(before, part_if(parts[first + i], first + i < lane));
    }
    return before;
}

// The sum of all lanes, after sum_before.
fn sum_of_heads() -> Triple {
    var all = NOTHING;
    for (var i = 0u; i < FAN; i++) {
        all = add(all, heads[i]);
    }
    return all;
}

// ---- slices and bins --------------------------------------------------------------------------

fn best_slice(lane: u32) -> Triple {
    var own = NO_TOKEN;
    for (var i = lane; i < p.slices; i += WG_X) {
        let at = BEST + 3u * i;
        own = better(own, Triple(atomicLoad(&work[at]), atomicLoad(&work[at + 1u]), atomicLoad(&work[at + 2u])));
    }
    return best_of(own, lane);
}

// Bins divide gaps up to the largest, or to 32, evenly, by a power of two, so that a token's bin is the same everywhere;
// larger gaps lie in the last one.
fn bin_scale(best: Triple) -> f32 {
    let range = clamp(value_of(best.a) - value_of(best.c), 1e-6, 31.0);
    let exponent = bitcast<u32>(range) >> 23u; // range < 2^(exponent - 126)
    return bitcast<f32>((253u - exponent) << 23u) * f32(BINS);
}

fn bin_of(gap: f32, scale: f32) -> u32 {
    return min(u32(min(gap, 64.0) * scale), BINS - 1u);
}

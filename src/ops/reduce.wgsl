// reduce.wgsl - y[line] = FUNCTION of the elements of a line of x. Node: FUNCTION (enum function of reduce.c), IS_INT (x
// is i32, else f32).
@group(0) @binding(1) var<storage, read> x: array<Words>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

const SUM: u32 = 1u;
const MEAN: u32 = 2u;
const PROD: u32 = 3u;
const AMAX: u32 = 4u;
const AMIN: u32 = 5u;
const ANY: u32 = 6u;
const ALL: u32 = 7u;
const ARGMAX: u32 = 8u;
const ARGMIN: u32 = 9u;
const VAR: u32 = 10u;
const RSTD: u32 = 11u;

// Sums and products of floats; everything else is computed in integers.
const IN_FLOATS: bool = IS_INT == 0u && (FUNCTION <= PROD || FUNCTION >= VAR);
const LEAST: bool = FUNCTION == AMIN || FUNCTION == ARGMIN;

// (bits of a float, 0), (a number, 0), or (key, index of the element that has it).
alias Part = vec2<i32>;

const NO_INDEX: i32 = 0x7fffffff;
const TOP_KEY: i32 = 0x7fffffff;

fn combine(how: u32, a: Part, b: Part) -> Part {
    if (IN_FLOATS) {
        let c = bitcast<f32>(a.x);
        let d = bitcast<f32>(b.x);
        return Part(bitcast<i32>(select(c + d, c * d, FUNCTION == PROD)), 0);
    }
    if (FUNCTION == SUM) {
        return Part(a.x + b.x, 0);
    }
    if (FUNCTION == PROD) {
        return Part(a.x * b.x, 0);
    }
    return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

// An integer that orders elements as FUNCTION does: the largest key wins. A float's bits are such an integer once the
// order of the negative ones is turned; NaN comes first of all, as PyTorch has it, and -0 equals 0.
fn key_of(w: Words) -> Ints {
    let magnitude = w & Words(0x7fffffffu);
    if (FUNCTION == ANY || FUNCTION == ALL) {
        let zero = select(w, magnitude, IS_INT == 0u) == Words(0u);
        return select(Ints(1), Ints(0), select(zero, !zero, FUNCTION == ALL));
    }
    var key = bitcast<Ints>(w);
    if (IS_INT == 0u) {
        key = key ^ ((key >> Words(31u)) & Ints(0x7fffffff));
        key = select(key, Ints(0), magnitude == Words(0u));
    }
    if (LEAST) {
        key = ~key;
    }
    if (IS_INT == 0u) {
        key = select(key, Ints(TOP_KEY), magnitude > Words(0x7f800000u));
    }
    return key;
}

// The element that a key came from.
fn element_of(winner: i32) -> u32 {
    var key = winner;
    if (LEAST) {
        key = ~key;
    }
    if (IS_INT == 0u) {
        key = key ^ ((key >> 31u) & 0x7fffffff);
    }
    return bitcast<u32>(key);
}

fn int_part(t: Place) -> Part {
    var best = Ints(select(0, 1, FUNCTION == PROD));
    var index = Ints(NO_INDEX);
    if (FUNCTION > PROD) {
        best = Ints(-0x7fffffff - 1);
    }
    for (var i = t.lane; i < p.items; i += LANES) {
        let w = x[t.at + item_offset(i)];
        if (FUNCTION == SUM) {
            best += bitcast<Ints>(w);
        } else if (FUNCTION == PROD) {
            best *= bitcast<Ints>(w);
        } else {
            let key = key_of(w);
            let better = (key > best) | (index == Ints(NO_INDEX));
            best = select(best, key, better);
            index = select(index, Ints(i32(i)), better);
        }
    }
    var part = Part(int_of(best, 0u), int_of(index, 0u));
    for (var k = 0u; k < ITEM; k++) {
        var at = int_of(index, k);
        if (at != NO_INDEX) {
            at = at * i32(ITEM) + i32(k);
        }
        let next = Part(int_of(best, k), at);
        if (k == 0u) {
            part = next;
        } else {
            part = combine(0u, part, next);
        }
    }
    return part;
}

// The sum or product of a lane's elements, or the sum of their squared distances from `mean`: of 64 at a time, so that
// the rounding of a long line stays small.
fn float_part(t: Place, squares: bool, mean: f32) -> Part {
    let nothing = Floats(select(0.0, 1.0, FUNCTION == PROD));
    var total = nothing;
    var some = nothing;
    var n = 0u;
    for (var i = t.lane; i < p.items; i += LANES) {
        let v = bitcast<Floats>(x[t.at + item_offset(i)]);
        if (FUNCTION == PROD) {
            some *= v;
        } else if (squares) {
            some += (v - mean) * (v - mean);
        } else {
            some += v;
        }
        n++;
        if (n == 64u) {
            total = select(total + some, total * some, FUNCTION == PROD);
            some = nothing;
            n = 0u;
        }
    }
    total = select(total + some, total * some, FUNCTION == PROD);
    var part = Part(bitcast<i32>(float_of(total, 0u)), 0);
    for (var k = 1u; k < ITEM; k++) {
        part = combine(0u, part, Part(bitcast<i32>(float_of(total, k)), 0));
    }
    return part;
}

fn float_result(t: Place) -> u32 {
    var result = bitcast<f32>(gather(0u, float_part(t, false, 0.0), t).x);
    if (FUNCTION == MEAN || FUNCTION >= VAR) {
        result = result / f32(p.elements);
    }
    if (FUNCTION == VAR) { // p.number: the correction
        let squares = bitcast<f32>(gather(0u, float_part(t, true, result), t).x);
        result = squares / max(f32(p.elements) - p.number, 0.0);
    }
    if (FUNCTION == RSTD) { // p.number: eps
        let squares = bitcast<f32>(gather(0u, float_part(t, true, result), t).x);
        result = inverseSqrt(squares / f32(p.elements) + p.number);
    }
    return bitcast<u32>(result);
}

fn int_result(t: Place) -> u32 {
    let part = gather(0u, int_part(t), t);
    switch FUNCTION {
        case AMAX, AMIN: {
            return element_of(part.x);
        }
        case ARGMAX, ARGMIN: {
            return u32(part.y);
        }
        case ALL: {
            return u32(1 - part.x);
        }
        default: {
            return bitcast<u32>(part.x);
        }
    }
}

@compute @workgroup_size(WG_X)
fn reduce(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
          @builtin(local_invocation_index) local: u32) {
    let t = place_of(group, grid, local);
    var result = 0u;
    if (IN_FLOATS) {
        result = float_result(t);
    } else {
        result = int_result(t);
    }
    if (t.live && t.lane == 0u) {
        y[t.line] = result;
    }
}

// sample_draw.wgsl - finds where exactly top-k and top-p end among the listed tokens, and draws the token. One
// workgroup.
@group(0) @binding(3) var<storage, read_write> token: array<u32>;

// A token's place in the order as a number of 32 + id_bits bits: the smallest is first.
fn place_of(key: u32, id: u32) -> vec2<u32> {
    return vec2<u32>((~key << p.id_bits) | id, ~key >> (32u - p.id_bits));
}

fn shifted_right(a: vec2<u32>, by: u32) -> vec2<u32> {
    if (by >= 32u) {
        return vec2<u32>(a.y >> (by - 32u), 0u);
    }
    return select(vec2<u32>((a.x >> by) | (a.y << (32u - by)), a.y >> by), a, by == 0u);
}

fn shifted_left(a: u32, by: u32) -> vec2<u32> {
    if (by >= 32u) {
        return vec2<u32>(0u, a << (by - 32u));
    }
    return vec2<u32>(a << by, select(a >> (32u - by), 0u, by == 0u));
}

fn minus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - u32(a.x < b.x));
}

// What the search has come to: the last token kept lies in base..base + 2^shift - 1; once it is done, at `last`.
struct Search {
    shift: u32,
    base: vec2<u32>,
    before: Triple, // sum of the tokens before base
    last: vec2<u32>,
    upto: Triple, // sum of the tokens up to `last`
}

// Tokens of the bins low..high, and when the sum is enough.
struct Wanted {
    low: u32,
    high: u32,
    by_weight: bool,
    need: vec2<u32>,
}

const DIGITS: u32 = 256u;
const PER_LANE: u32 = DIGITS / WG_X;
var<workgroup> own_digits: array<atomic<u32>, max(OWN * 4u * DIGITS, 1u)>;
var<workgroup> search: Search;
var<workgroup> going: u32;
var<workgroup> head: array<u32, HEAD>; // of `work`

// For each digit a sum's words, and one of the tokens on the list; without OWN where the bins were.
fn digit_word(at: u32) -> u32 {
    if (OWN == 0u) {
        return atomicLoad(&work[HEAD + at]);
    }
    return atomicLoad(&own_digits[at]);
}

fn set_digit_word(at: u32, value: u32) {
    if (OWN == 0u) {
        atomicStore(&work[HEAD + at], value);
    } else {
        atomicStore(&own_digits[at], value);
    }
}

fn add_to_digit_word(at: u32, value: u32) -> u32 {
    if (OWN == 0u) {
        return atomicAdd(&work[HEAD + at], value);
    }
    return atomicAdd(&own_digits[at], value);
}

fn digits_barrier() {
    if (OWN == 0u) {
        storageBarrier();
    } else {
        workgroupBarrier();
    }
}

fn head_sum(at: u32) -> Triple {
    return Triple(head[at], head[at + 1u], head[at + 2u]);
}

fn gap_of(key: u32) -> f32 {
    return value_of(head[MOST]) - value_of(key);
}

fn listed_place(i: u32) -> vec2<u32> {
    return place_of(words[p.n + 2u * i], words[p.n + 2u * i + 1u]);
}

// How far a place is shifted for the next digit: of eight bits, or of those that are left.
fn next_shift(s: Search) -> u32 {
    return max(s.shift, 8u) - 8u;
}

// Sums the wanted tokens by the next digit of their places.
fn sum_digits(w: Wanted, s: Search, lane: u32) {
    let shift = next_shift(s);
    let count = 1u << (s.shift - shift);
    for (var i = lane; i < 3u * DIGITS; i += WG_X) {
        set_digit_word(i, 0u);
    }
    digits_barrier();
    for (var i = lane; i < head[LISTED]; i += WG_X) {
        let gap = gap_of(words[p.n + 2u * i]);
        let bin = bin_of(gap, bitcast<f32>(head[BIN_SCALE]));
        let d = shifted_right(minus(listed_place(i), s.base), shift);
        if (bin >= w.low && bin <= w.high && d.y == 0u && d.x < count) {
            let weight = unit_weight(gap);
            add_to_digit_word(d.x, 1u);
            set_digit_word(3u * DIGITS + d.x, i);
            if (weight > ~add_to_digit_word(DIGITS + d.x, weight)) {
                add_to_digit_word(2u * DIGITS + d.x, 1u);
            }
        }
    }
    digits_barrier();
}

fn digit_sum(d: u32) -> Triple {
    return Triple(digit_word(d), digit_word(DIGITS + d), digit_word(2u * DIGITS + d));
}

// Goes on with the digit at which the sum is enough: one of the lane's, from `first` on.
fn take_digit(w: Wanted, s: Search, before_lane: Triple, first: u32) {
    var before = before_lane;
    for (var d = first; d < first + PER_LANE; d++) {
        let own = digit_sum(d);
        let upto = add(before, own);
        if (reaches(upto, w.by_weight, w.need)) {
            let shift = next_shift(s);
            let last = listed_place(digit_word(3u * DIGITS + d));
            search = Search(shift, add64(s.base, shifted_left(d, shift)), before, last, upto);
            going = u32(shift != 0u && own.a != 1u);
            break;
        }
        before = upto;
    }
}

// The place at which the wanted tokens, after a sum of `before`, are enough.
fn find_end(w: Wanted, before: Triple, lane: u32) -> Search {
    workgroupBarrier(); // an earlier search has been read
    if (lane == 0u) {
        let first = place_of(head[TOP], 0u);
        let spread = minus(place_of(~head[BOTTOM], (1u << p.id_bits) - 1u), first);
        let bits = select(64u - countLeadingZeros(spread.y), 32u - countLeadingZeros(spread.x), spread.y == 0u);
        search = Search(bits, first, before, vec2<u32>(0xffffffffu), before);
        going = 1u;
    }
    for (var turn = 0u; turn < 8u; turn++) {
        if (workgroupUniformLoad(&going) == 0u) {
            break;
        }
        let s = search;
        sum_digits(w, s, lane);
        var own = NOTHING;
        for (var i = 0u; i < PER_LANE; i++) {
            own = add(own, digit_sum(lane * PER_LANE + i));
        }
        let before_lane = add(s.before, sum_before(own, lane));
        if (!reaches(before_lane, w.by_weight, w.need) && reaches(add(before_lane, own), w.by_weight, w.need)) {
            take_digit(w, s, before_lane, lane * PER_LANE);
        }
    }
    workgroupBarrier();
    return search;
}

// The place of the last token that top-k and top-p keep.
fn find_last(filters: u32, lane: u32) -> vec2<u32> {
    var last = vec2<u32>(0xffffffffu);
    var before = head_sum(K_BIN + 1u);
    var kept = before; // without top-k: all
    var wanted = Wanted(head[K_BIN], head[K_BIN], false, vec2<u32>(p.top_k, 0u));
    for (var end = 0u; end < 2u; end++) { // k, p; a loop, since every copy of find_end takes time to compile
        let by_weight = end == 1u;
        if (by_weight) {
            before = head_sum(LOW_BIN + 1u);
            wanted = Wanted(head[LOW_BIN], head[HIGH_BIN], true, at_least_one(part_of(weights_of(kept), p.top_p)));
        }
        if ((filters & select(TOP_K, TOP_P, by_weight)) != 0u) {
            let s = find_end(wanted, before, lane);
            last = s.last;
            kept = s.upto;
        }
    }
    return last;
}

// Adds the kept ones of the list to their slices.
fn add_listed(last: vec2<u32>, lane: u32) {
    for (var i = lane; i < head[LISTED]; i += WG_X) {
        let key = words[p.n + 2u * i];
        let id = words[p.n + 2u * i + 1u];
        if (!less(last, place_of(key, id))) {
            let w = final_weight(gap_of(key));
            let at = sums_at() + 2u * (id / SLICE);
            if (w > ~atomicAdd(&work[at], w)) {
                atomicAdd(&work[at + 1u], 1u);
            }
        }
    }
    storageBarrier();
}

// ---- the draw ---------------------------------------------------------------------------------

// An item (slice or token), and the sum before it.
struct Step {
    item: u32,
    before: Triple,
}

var<workgroup> drawn: Step;

fn slice_sum(slice: u32) -> Triple {
    if (slice >= p.slices) {
        return NOTHING;
    }
    let at = sums_at() + 2u * slice;
    return Triple(0u, atomicLoad(&work[at]), atomicLoad(&work[at + 1u]));
}

fn token_sum(id: u32, last: vec2<u32>) -> Triple {
    if (id >= p.n) {
        return NOTHING;
    }
    let key = words[id];
    return Triple(0u, select(final_weight(gap_of(key)), 0u, less(last, place_of(key, id))), 0u);
}

fn draw_slice(lane: u32) -> vec2<u32> {
    const per_lane = MAX_SLICES / WG_X;
    var own = NOTHING;
    for (var i = 0u; i < per_lane; i++) {
        own = add(own, slice_sum(lane * per_lane + i));
    }
    let before = sum_before(own, lane);
    let need = add64(part_of(weights_of(sum_of_heads()), p.word), vec2<u32>(1u, 0u));
    if (!reaches(before, true, need) && reaches(add(before, own), true, need)) {
        var sum = before;
        for (var i = 0u; i < per_lane; i++) {
            let next = add(sum, slice_sum(lane * per_lane + i));
            if (reaches(next, true, need)) {
                drawn = Step(lane * per_lane + i, sum);
                break;
            }
            sum = next;
        }
    }
    workgroupBarrier();
    return need;
}

fn draw_token(need: vec2<u32>, last: vec2<u32>, lane: u32) {
    let slice = drawn;
    let first = slice.item * SLICE + lane * (SLICE / WG_X);
    var own = NOTHING;
    for (var i = 0u; i < SLICE / WG_X; i++) {
        own = add(own, token_sum(first + i, last));
    }
    var sum = add(slice.before, sum_before(own, lane));
    if (!reaches(sum, true, need) && reaches(add(sum, own), true, need)) {
        for (var i = 0u; i < SLICE / WG_X; i++) {
            sum = add(sum, token_sum(first + i, last));
            if (reaches(sum, true, need)) {
                token[0] = first + i;
                break;
            }
        }
    }
}

@compute @workgroup_size(WG_X)
fn draw(@builtin(local_invocation_index) lane: u32) {
    if (lane < HEAD) {
        head[lane] = atomicLoad(&work[lane]);
    }
    let filters = workgroupUniformLoad(&head)[FILTERS];
    var last = vec2<u32>(0xffffffffu);
    if (filters != 0u) {
        last = find_last(filters, lane);
        add_listed(last, lane);
        workgroupBarrier();
    }
    let need = draw_slice(lane);
    draw_token(need, last, lane);
}

// sample_sift.wgsl - finds the bins in which top-k and top-p end. Tokens before them are kept, and each slice's final
// weights summed; tokens within them go on a list; tokens behind them are out.
const PER_LANE: u32 = BINS / WG_X;

// A bin, and the sums before and up to its end.
struct Found {
    bin: u32,
    before: Triple,
    upto: Triple,
}

var<workgroup> bins: array<u32, max(OWN * 3u * BINS, 1u)>;
var<workgroup> found: Found;
var<workgroup> filters_on: u32;

fn bin_sum(bin: u32) -> Triple {
    if (OWN == 0u) {
        let at = HEAD + bin;
        return Triple(atomicLoad(&work[at]), atomicLoad(&work[at + BINS]), atomicLoad(&work[at + 2u * BINS]));
    }
    return Triple(bins[bin], bins[BINS + bin], bins[2u * BINS + bin]);
}

// The bin at which the sum reaches `need`; `before`: the sum of the bins before this lane's.
fn find(before: Triple, own: Triple, lane: u32, by_weight: bool, need: vec2<u32>) -> Found {
    workgroupBarrier();
    if (!reaches(before, by_weight, need) && reaches(add(before, own), by_weight, need)) {
        var sum = before;
        for (var i = 0u; i < PER_LANE; i++) {
            let next = add(sum, bin_sum(lane * PER_LANE + i));
            if (reaches(next, by_weight, need)) {
                found = Found(lane * PER_LANE + i, sum, next);
                break;
            }
            sum = next;
        }
    }
    workgroupBarrier();
    return found;
}

struct Ends {
    k: Found,
    low: Found,
    high: Found,
}

fn find_ends(filters: u32, lane: u32) -> Ends {
    for (var i = lane; i < OWN * 3u * BINS; i += WG_X) {
        bins[i] = atomicLoad(&work[HEAD + i]);
    }
    workgroupBarrier();
    var own = NOTHING;
    for (var i = 0u; i < PER_LANE; i++) {
        own = add(own, bin_sum(lane * PER_LANE + i));
    }
    let before = sum_before(own, lane);
    let all = sum_of_heads();
    var e: Ends;
    e.k = Found(NO_BIN, all, all);
    e.low = e.k;
    e.high = e.k;
    for (var end = 0u; end < 3u; end++) { // k, low, high; a loop, since every copy of find takes time to compile
        let by_weight = end > 0u;
        if ((filters & select(TOP_K, TOP_P, by_weight)) != 0u) {
            var need = vec2<u32>(p.top_k, 0u);
            if (by_weight) {
                let kept = select(weights_of(e.k.before), weights_of(e.k.upto), end == 2u);
                need = at_least_one(part_of(kept, p.top_p));
            }
            e.high = find(before, own, lane, by_weight, need);
            if (end < 2u) {
                e.low = e.high;
            }
            if (end == 0u) {
                e.k = e.high;
            }
        }
    }
    return e;
}

fn put_sum(at: u32, s: Triple) {
    atomicStore(&work[at], s.a);
    atomicStore(&work[at + 1u], s.b);
    atomicStore(&work[at + 2u], s.c);
}

fn put_head(best: Triple, scale: f32, e: Ends) {
    atomicStore(&work[MOST], best.a);
    atomicStore(&work[BIN_SCALE], bitcast<u32>(scale));
    atomicStore(&work[K_BIN], e.k.bin);
    put_sum(K_BIN + 1u, e.k.before);
    atomicStore(&work[LOW_BIN], e.low.bin);
    put_sum(LOW_BIN + 1u, e.low.before);
    atomicStore(&work[HIGH_BIN], e.high.bin);
}

fn put_listed(key: u32, id: u32) {
    let at = p.n + 2u * atomicAdd(&work[LISTED], 1u);
    words[at] = key;
    words[at + 1u] = id;
    atomicMax(&work[TOP], key);
    atomicMax(&work[BOTTOM], ~key);
}

@compute @workgroup_size(WG_X)
fn sift(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (lane == 0u) {
        filters_on = atomicLoad(&work[FILTERS]);
    }
    let best = best_slice(lane);
    let filters = workgroupUniformLoad(&filters_on);
    let top = value_of(best.a);
    let scale = bin_scale(best);
    var e = Ends(Found(NO_BIN, NOTHING, NOTHING), Found(NO_BIN, NOTHING, NOTHING), Found(NO_BIN, NOTHING, NOTHING));
    if (filters != 0u) {
        e = find_ends(filters, lane);
    }
    if (group.x == 0u && lane == 0u) {
        put_head(best, scale, e);
    }
    var own = NOTHING;
    for (var i = 0u; i < SLICE / WG_X; i++) {
        let id = group.x * SLICE + i * WG_X + lane;
        if (id < p.n) {
            let key = words[id];
            let gap = top - value_of(key);
            let bin = bin_of(gap, scale);
            if (bin < e.low.bin) {
                own = add(own, Triple(1u, final_weight(gap), 0u));
            } else if (bin <= e.high.bin || bin == e.k.bin) {
                put_listed(key, id);
            }
        }
    }
    sum_before(own, lane);
    if (lane == 0u) {
        let all = sum_of_heads();
        atomicStore(&work[sums_at() + 2u * group.x], all.b);
        atomicStore(&work[sums_at() + 2u * group.x + 1u], all.c);
    }
}

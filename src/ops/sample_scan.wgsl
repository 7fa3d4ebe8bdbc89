// sample_scan.wgsl - logits to keys, with the repetition penalty, and the best token of each slice.
@group(0) @binding(3) var<storage, read> logits: array<u32>;
@group(0) @binding(4) var<storage, read> history: array<i32>;

var<workgroup> seen: array<atomic<u32>, SLICE / 32u>; // a bit for each token of the slice that is in the window

fn see_window(base: u32, lane: u32) {
    for (var i = lane; i < SLICE / 32u; i += WG_X) {
        atomicStore(&seen[i], 0u);
    }
    workgroupBarrier();
    for (var i = p.begin + lane; i < p.end; i += WG_X) {
        let at = u32(history[i]) - base;
        if (at < SLICE) {
            atomicOr(&seen[at / 32u], 1u << (at % 32u));
        }
    }
    workgroupBarrier();
}

fn penalized(key: u32) -> u32 {
    let value = value_of(key);
    return key_of(bitcast<u32>(value * select(p.below, p.above, value > 0.0)));
}

fn filters() -> u32 {
    return select(0u, TOP_K, p.top_k < p.n) | select(0u, TOP_P, p.top_p != 0u);
}

@compute @workgroup_size(WG_X)
fn scan(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * SLICE;
    if (p.begin < p.end) {
        see_window(base, lane);
    }
    var own = NO_TOKEN;
    for (var i = 0u; i < SLICE / WG_X; i++) {
        let at = i * WG_X + lane;
        if (base + at < p.n) {
            var key = key_of(logits[p.first + base + at]);
            if (p.begin < p.end && ((atomicLoad(&seen[at / 32u]) >> (at % 32u)) & 1u) != 0u) {
                key = penalized(key);
            }
            if (p.greedy == 0u) {
                words[base + at] = key;
            }
            own = better(own, Triple(key, base + at, key));
        }
    }
    let best = best_of(own, lane);
    if (lane == 0u) {
        let at = BEST + 3u * group.x;
        atomicStore(&work[at], best.a);
        atomicStore(&work[at + 1u], best.b);
        atomicStore(&work[at + 2u], best.c);
    }
    if (p.greedy == 0u) {
        for (var i = group.x * WG_X + lane; i < BEST; i += p.slices * WG_X) {
            atomicStore(&work[i], select(0u, filters(), i == FILTERS));
        }
    }
}

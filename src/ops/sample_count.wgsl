// sample_count.wgsl - how many tokens, and how much weight at temperature 1, lie in each bin of gaps.
var<workgroup> own_bins: array<atomic<u32>, max(OWN * 3u * BINS, 1u)>;

// Adds to a word of the bins; what it was before.
fn add_to_bins(at: u32, n: u32) -> u32 {
    if (OWN == 0u) {
        return atomicAdd(&work[HEAD + at], n);
    }
    return atomicAdd(&own_bins[at], n);
}

fn clear_own_bins(lane: u32) {
    for (var i = lane; i < OWN * 3u * BINS; i += WG_X) {
        atomicStore(&own_bins[i], 0u);
    }
}

fn add_own_bins(lane: u32) {
    workgroupBarrier();
    for (var i = lane; i < OWN * BINS; i += WG_X) {
        let n = atomicLoad(&own_bins[i]);
        if (n != 0u) {
            let low = atomicLoad(&own_bins[BINS + i]);
            var high = atomicLoad(&own_bins[2u * BINS + i]);
            atomicAdd(&work[HEAD + i], n);
            if (low > ~atomicAdd(&work[HEAD + BINS + i], low)) {
                high += 1u;
            }
            if (high != 0u) {
                atomicAdd(&work[HEAD + 2u * BINS + i], high);
            }
        }
    }
}

@compute @workgroup_size(WG_X)
fn count(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    clear_own_bins(lane);
    let best = best_slice(lane); // with barriers
    let top = value_of(best.a);
    let scale = bin_scale(best);
    for (var i = 0u; i < SLICE / WG_X; i++) {
        let id = group.x * SLICE + i * WG_X + lane;
        if (id < p.n) {
            let gap = top - value_of(words[id]);
            let bin = bin_of(gap, scale);
            let w = unit_weight(gap);
            add_to_bins(bin, 1u);
            if (w > ~add_to_bins(BINS + bin, w)) {
                add_to_bins(2u * BINS + bin, 1u);
            }
        }
    }
    add_own_bins(lane);
}

// sample_count.wgsl - how many tokens, and how much weight at temperature 1, lie in each bin of gaps.
var<workgroup> bins: array<atomic<u32>, 3u * BINS>;

@compute @workgroup_size(WG_X)
fn count(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var i = lane; i < 3u * BINS; i += WG_X) {
        atomicStore(&bins[i], 0u);
    }
    let best = best_slice(lane); // with barriers
    let top = value_of(best.a);
    let scale = bin_scale(best);
    for (var i = 0u; i < SLICE / WG_X; i++) {
        let id = group.x * SLICE + i * WG_X + lane;
        if (id < p.n) {
            let gap = top - value_of(words[id]);
            let bin = bin_of(gap, scale);
            let w = unit_weight(gap);
            atomicAdd(&bins[bin], 1u);
            if (w > ~atomicAdd(&bins[BINS + bin], w)) {
                atomicAdd(&bins[2u * BINS + bin], 1u);
            }
        }
    }
    workgroupBarrier();
    for (var i = lane; i < BINS; i += WG_X) {
        let n = atomicLoad(&bins[i]);
        if (n != 0u) {
            let low = atomicLoad(&bins[BINS + i]);
            var high = atomicLoad(&bins[2u * BINS + i]);
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

// sample_work.wgsl - what the later kernels of sampling read of `work` and make of a gap. The kernel declares `work`.
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

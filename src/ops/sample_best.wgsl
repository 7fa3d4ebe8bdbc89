// sample_best.wgsl - the best token of all slices: a greedy pick.
@group(0) @binding(3) var<storage, read_write> token: array<u32>;

@compute @workgroup_size(WG_X)
fn best(@builtin(local_invocation_index) lane: u32) {
    let all = best_slice(lane);
    if (lane == 0u) {
        token[0] = min(all.b, p.n - 1u);
    }
}

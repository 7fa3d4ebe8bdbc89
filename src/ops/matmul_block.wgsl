// matmul_block.wgsl - TILE_M rows of four outputs an invocation, in registers: for software devices, where barriers are
// slow and one wide load costs little more than a narrow one. a is the same for all invocations of a workgroup.

// Sums of at most this many terms are added up by themselves, which keeps the rounding of long rows small.
const RUN: u32 = 512u;

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let group = wid.y * nwg.x + wid.x;
    if (group >= p.groups) {
        return;
    }
    let t = tile_of(group);
    let n = t.n + 4u * lid;
    if (n >= p.n) {
        return;
    }
    var s0 = mat4x4<f32>();
    var s1 = mat4x4<f32>();
    for (var first = 0u; first < p.k; first += RUN) {
        let end = min(first + RUN, p.k);
        var r0 = mat4x4<f32>();
        var r1 = mat4x4<f32>();
        for (var k = first; k < end; k += 4u) {
            let block = b_block(t, n, k);
            if (TILE_M == 1u) {
                r0[0] += block * a_quad(t, t.m, k);
            } else {
                r0 += block * a_block(t, t.m, k);
            }
            if (TILE_M == 8u) {
                r1 += block * a_block(t, t.m + 4u, k);
            }
        }
        s0 += r0;
        s1 += r1;
    }
    store(t, t.m, n, s0[0]);
    if (TILE_M > 1u) {
        store(t, t.m + 1u, n, s0[1]);
        store(t, t.m + 2u, n, s0[2]);
        store(t, t.m + 3u, n, s0[3]);
    }
    if (TILE_M == 8u) {
        store(t, t.m + 4u, n, s1[0]);
        store(t, t.m + 5u, n, s1[1]);
        store(t, t.m + 6u, n, s1[2]);
        store(t, t.m + 7u, n, s1[3]);
    }
}

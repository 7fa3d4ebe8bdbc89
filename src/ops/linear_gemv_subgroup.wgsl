// linear_gemv_subgroup.wgsl - linear_gemv with sums over the lanes of a subgroup by shuffles, then over the subgroups
// (of LEAST_SUBGROUP lanes or more) through workgroup memory. The lanes are numbered by subgroup.

const MOST_SUBGROUPS: u32 = WG_X / LEAST_SUBGROUP;

var<workgroup> partial: array<vec4<f32>, MOST_SUBGROUPS * GROUP_QUADS>;
var<workgroup> partial_squares: array<f32, MOST_SUBGROUPS>;

var<private> step_member: u32; // the first of the step's lanes in the subgroup

// What subgroup i of n adds to row r, to its row of up, and to the sum of squares.
fn part(r: u32, i: u32, n: u32) -> vec3<f32> {
    var v = vec3<f32>();
    if (i >= n) {
        return v;
    }
    v.x = partial[i * GROUP_QUADS + r / 4u][r % 4u];
    if (GATED == 1u) {
        v.y = partial[i * GROUP_QUADS + (OUTPUTS + r) / 4u][r % 4u];
    }
    if (NORM == 1u) {
        v.z = partial_squares[i];
    }
    return v;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(subgroup_id) group: u32, @builtin(subgroup_size) size: u32,
        @builtin(subgroup_invocation_id) member: u32) {
    let tile = wid.z * nwg.x + wid.x;
    if (tile * TILE_N >= N) {
        return;
    }
    let lane = group * size + member;
    step_member = member / QUADS * QUADS;
    let added = read_addend(tile, wid.y, lane);
    accumulate(tile, wid.y, lane);
    for (var t = 0u; t < TILES; t++) {
        var sum = acc[t];
        for (var mask = QUADS; mask < size; mask *= 2u) {
            sum += subgroupShuffleXor(sum, mask);
        }
        if (member < QUADS && group < MOST_SUBGROUPS) {
            partial[group * GROUP_QUADS + t * QUADS + member] = sum;
        }
    }
    if (NORM == 1u) {
        let sum = subgroupAdd(squares);
        if (member == 0u && group < MOST_SUBGROUPS) {
            partial_squares[group] = sum;
        }
    }
    workgroupBarrier();
    if (lane >= OUTPUTS) {
        return;
    }
    let n = min(WG_X / size, MOST_SUBGROUPS); // where no size is told it may be smaller: wrong then, but within bounds
    var sum = vec3<f32>();
    for (var i = 0u; i < n; i += 4u) {
        sum += (part(lane, i, n) + part(lane, i + 1u, n)) + (part(lane, i + 2u, n) + part(lane, i + 3u, n));
    }
    store(tile, wid.y, lane, sum.x, sum.y, sum.z, added);
}

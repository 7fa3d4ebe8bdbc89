// attend_few.wgsl - fused attention for few queries: TILE_T = 4 at a time, so that a vec4 holds a number of each. D8
// invocations share a cache row, 8 elements each, and 4 rows at a time make a slice; every row is read once, whole lines
// by neighbours. Slices keep a maximum and sums of their own and meet at the end.

const SLICES: u32 = WG_X / D8;
const ROWS: u32 = 4u;
const STEP: u32 = SLICES * ROWS; // cache rows that a workgroup takes at a time

const HALF: u32 = (SLICES + 1u) / 2u;

var<workgroup> sums: array<vec4<f32>, max(WG_X * ROWS, HALF * 4u * D4)>; // [row of the step, part] of scores; [slice, query, d]
var<workgroup> scores: array<vec4<f32>, STEP>;                 // [row of the step]

// The sums of a row's parts, begun at different ones for neighbours (memory banks); MASKED where a query does not see it.
fn add_parts(work: Work, c: u32, index: u32) {
    let sees = vec4<u32>(visible(work.t0), visible(work.t0 + 1u), visible(work.t0 + 2u), visible(work.t0 + 3u));
    for (var j = index; j < STEP; j += WG_X) {
        var sum = vec4<f32>();
        for (var k = 0u; k < D8; k++) {
            sum += sums[j * D8 + (k + j) % D8];
        }
        let row = c + j % ROWS * SLICES + j / ROWS;
        scores[j] = select(vec4<f32>(MASKED), sum, (vec4<u32>(row) < sees) & vec4<bool>(row < work.end));
    }
}

// An invocation's place: `slice` and `part` of it; those past the last slice repeat it and store nothing.
struct Lane {
    slice: u32,
    part: u32,
    stores: bool,
}

// Row r of the slice in the step from c, within the window. Past the end that is the last row again, whose score is
// masked there.
fn row_of(work: Work, lane: Lane, c: u32, r: u32) -> u32 {
    return min(c + r * SLICES + lane.slice, max(work.end, work.begin + 1u) - 1u) - p.c0;
}

// Its part of the scores of row r.
fn store_part(lane: Lane, queries: Queries, k: Packed, e: u32, r: u32) {
    let x = unpack(k, e);
    if (lane.stores) {
        sums[(lane.slice * ROWS + r) * D8 + lane.part] = x.a * queries.a + x.b * queries.b;
    }
}

@compute @workgroup_size(WG_X)
fn attend_few(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
              @builtin(local_invocation_index) index: u32) {
    let work = work_at(workgroup.y * grid.x + workgroup.x);
    if (!work.live) {
        return;
    }
    let lane = Lane(min(index / D8, SLICES - 1u), index % D8, index < SLICES * D8);
    let queries = load_queries(work, lane.part);
    var top = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    var sum_a = mat4x4<f32>(); // a column for each query
    var sum_b = mat4x4<f32>();
    // Loads run ahead by a step: of K while the weights are made, of V while the next scores are.
    let e = work.kv * D8 + lane.part;
    var k0 = load_k(row_of(work, lane, work.begin, 0u), e);
    var k1 = load_k(row_of(work, lane, work.begin, 1u), e);
    var k2 = load_k(row_of(work, lane, work.begin, 2u), e);
    var k3 = load_k(row_of(work, lane, work.begin, 3u), e);
    var v0 = load_v(row_of(work, lane, work.begin, 0u), e);
    var v1 = load_v(row_of(work, lane, work.begin, 1u), e);
    var v2 = load_v(row_of(work, lane, work.begin, 2u), e);
    var v3 = load_v(row_of(work, lane, work.begin, 3u), e);
    for (var c = work.begin; c < work.end; c += STEP) {
        store_part(lane, queries, k0, e, 0u);
        store_part(lane, queries, k1, e, 1u);
        store_part(lane, queries, k2, e, 2u);
        store_part(lane, queries, k3, e, 3u);
        k0 = load_k(row_of(work, lane, c + STEP, 0u), e);
        k1 = load_k(row_of(work, lane, c + STEP, 1u), e);
        k2 = load_k(row_of(work, lane, c + STEP, 2u), e);
        k3 = load_k(row_of(work, lane, c + STEP, 3u), e);
        workgroupBarrier();
        add_parts(work, c, index);
        workgroupBarrier();
        let s0 = scores[lane.slice * ROWS];
        let s1 = scores[lane.slice * ROWS + 1u];
        let s2 = scores[lane.slice * ROWS + 2u];
        let s3 = scores[lane.slice * ROWS + 3u];
        let most = max(max(top, max(s0, s1)), max(s2, s3));
        let old = exp2(top - most);
        let w0 = exp2(s0 - most);
        let w1 = exp2(s1 - most);
        let w2 = exp2(s2 - most);
        let w3 = exp2(s3 - most);
        top = most;
        total = total * old + ((w0 + w1) + (w2 + w3));
        let x0 = unpack(v0, e);
        let x1 = unpack(v1, e);
        let x2 = unpack(v2, e);
        let x3 = unpack(v3, e);
        sum_a = add_outer(add_outer(scale_columns(sum_a, old), x0.a, w0), x1.a, w1);
        sum_b = add_outer(add_outer(scale_columns(sum_b, old), x0.b, w0), x1.b, w1);
        sum_a = add_outer(add_outer(sum_a, x2.a, w2), x3.a, w3);
        sum_b = add_outer(add_outer(sum_b, x2.b, w2), x3.b, w3);
        v0 = load_v(row_of(work, lane, c + STEP, 0u), e);
        v1 = load_v(row_of(work, lane, c + STEP, 1u), e);
        v2 = load_v(row_of(work, lane, c + STEP, 2u), e);
        v3 = load_v(row_of(work, lane, c + STEP, 3u), e);
    }
    // The slices meet: their maxima and sums of weights, then their sums over V, the upper half of them first.
    workgroupBarrier();
    if (lane.part == 0u && lane.stores) {
        scores[lane.slice] = top;
        scores[SLICES + lane.slice] = total;
    }
    workgroupBarrier();
    var most = vec4<f32>(LOWEST);
    for (var s = 0u; s < SLICES; s++) {
        most = max(most, scores[s]);
    }
    let factor = exp2(top - most);
    sum_a = scale_columns(sum_a, factor);
    sum_b = scale_columns(sum_b, factor);
    if (lane.stores && lane.slice >= HALF) {
        store_sums(lane.slice - HALF, lane.part, sum_a, sum_b);
    }
    workgroupBarrier();
    if (lane.slice + HALF < SLICES) {
        let at = lane.slice * 4u * D4 + 2u * lane.part;
        sum_a += mat4x4<f32>(sums[at], sums[at + D4], sums[at + 2u * D4], sums[at + 3u * D4]);
        sum_b += mat4x4<f32>(sums[at + 1u], sums[at + D4 + 1u], sums[at + 2u * D4 + 1u], sums[at + 3u * D4 + 1u]);
    }
    workgroupBarrier();
    if (lane.stores && lane.slice < HALF) {
        store_sums(lane.slice, lane.part, sum_a, sum_b);
    }
    workgroupBarrier();
    var all = vec4<f32>();
    for (var s = 0u; s < SLICES; s++) {
        all += scores[SLICES + s] * exp2(scores[s] - most);
    }
    for (var j = index; j < 4u * D4; j += WG_X) {
        var sum = vec4<f32>();
        for (var s = 0u; s < HALF; s++) {
            sum += sums[s * 4u * D4 + j];
        }
        put(work, work.t0 + j / D4, j % D4, sum, most[j / D4], all[j / D4]);
    }
}

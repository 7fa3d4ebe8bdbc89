// attend_wave.wgsl - fused attention for few queries with subgroups, D8 = 8: TILE_T = 4 at a time, so that a vec4 holds a
// number of each. A team of 8 lanes shares a cache row, 8 elements each, and takes 8 rows at a time: by exchanging
// halves, every lane gets the scores of one of them. A subgroup keeps one maximum; nothing is waited for before the
// subgroups meet at the end. The lanes are numbered by subgroup, of LEAST_SUBGROUP lanes or more.

const TEAM: u32 = 8u;
const TEAMS: u32 = WG_X / TEAM;
const STEP: u32 = TEAMS * TEAM; // cache rows that a workgroup takes at a time
const MOST_SUBGROUPS: u32 = WG_X / LEAST_SUBGROUP;

var<workgroup> sums: array<vec4<f32>, MOST_SUBGROUPS * 4u * D4>; // [subgroup, query, d]
var<workgroup> tops: array<vec4<f32>, MOST_SUBGROUPS>;
var<workgroup> totals: array<vec4<f32>, MOST_SUBGROUPS>;

// Row r of the team in the step from c, within the window. Past the end that is the last row again, whose score is
// masked.
fn row_of(work: Work, team: u32, c: u32, r: u32) -> u32 {
    return min(c + r * TEAMS + team, max(work.end, work.begin + 1u) - 1u) - p.c0;
}

// Half of the lanes keep a, the others b; what is kept is added up over both halves.
fn halve(a: vec4<f32>, b: vec4<f32>, keep_b: bool, mask: u32) -> vec4<f32> {
    return select(a, b, keep_b) + subgroupShuffleXor(select(b, a, keep_b), mask);
}

// Of each lane's parts of the scores of its team's rows, the scores of row `own`, its number in the team.
fn gather(s: array<vec4<f32>, 8>, own: u32) -> vec4<f32> {
    let far = (own & 4u) != 0u;
    let near = (own & 2u) != 0u;
    let even = halve(halve(s[0], s[4], far, 4u), halve(s[2], s[6], far, 4u), near, 2u);
    let odd = halve(halve(s[1], s[5], far, 4u), halve(s[3], s[7], far, 4u), near, 2u);
    return halve(even, odd, (own & 1u) != 0u, 1u);
}

fn add_shuffled(m: mat4x4<f32>, mask: u32) -> mat4x4<f32> {
    return m + mat4x4<f32>(subgroupShuffleXor(m[0], mask), subgroupShuffleXor(m[1], mask),
                           subgroupShuffleXor(m[2], mask), subgroupShuffleXor(m[3], mask));
}

@compute @workgroup_size(WG_X)
fn attend_wave(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(subgroup_id) group: u32, @builtin(subgroup_size) size: u32,
               @builtin(subgroup_invocation_id) member: u32) {
    let work = work_at(workgroup.y * grid.x + workgroup.x);
    if (!work.live) {
        return;
    }
    let lane = group * size + member;
    let own = member % TEAM;
    let team = lane / TEAM;
    let e = work.kv * D8 + own;
    // Loads run ahead by a step: of K while the weights are made, of V while the next scores are.
    var k: array<Packed, 8>;
    var v: array<Packed, 8>;
    for (var r = 0u; r < 8u; r++) {
        k[r] = key(row_of(work, team, work.begin, r), e);
    }
    for (var r = 0u; r < 8u; r++) {
        v[r] = value(row_of(work, team, work.begin, r), e);
    }
    make_row(work, own);
    let queries = load_queries(work, own);
    let sees = min(vec4<u32>(work.end), vec4<u32>(visible(work.t0), visible(work.t0 + 1u), visible(work.t0 + 2u),
                                                  visible(work.t0 + 3u)));
    var top = vec4<f32>(LOWEST); // of the subgroup
    var total = vec4<f32>();     // over the lane's own rows
    var sum_a = mat4x4<f32>();   // a column for each query, over the team's rows
    var sum_b = mat4x4<f32>();
    for (var c = work.begin; c < work.end; c += STEP) {
        var s: array<vec4<f32>, 8>;
        for (var r = 0u; r < 8u; r++) {
            let x = unpack(key_or_new(k[r], c + r * TEAMS + team), e);
            s[r] = x.a * queries.a + x.b * queries.b;
        }
        for (var r = 0u; r < 8u; r++) {
            k[r] = key(row_of(work, team, c + STEP, r), e);
        }
        let score = select(vec4<f32>(MASKED), gather(s, own), vec4<u32>(c + own * TEAMS + team) < sees);
        let most = max(top, subgroupMax(score));
        let old = exp2(top - most);
        let weight = exp2(score - most);
        top = most;
        total = total * old + weight;
        sum_a = scale_columns(sum_a, old);
        sum_b = scale_columns(sum_b, old);
        for (var r = 0u; r < 8u; r++) {
            let w = subgroupShuffle(weight, member - own + r);
            let x = unpack(value_or_new(v[r], c + r * TEAMS + team), e);
            sum_a = add_outer(sum_a, x.a, w);
            sum_b = add_outer(sum_b, x.b, w);
        }
        for (var r = 0u; r < 8u; r++) {
            v[r] = value(row_of(work, team, c + STEP, r), e);
        }
    }
    if (team == 0u) {
        store_row(work, own);
    }
    // The teams of a subgroup meet by shuffles, the subgroups in workgroup memory.
    total = subgroupAdd(total);
    for (var mask = TEAM; mask < size; mask *= 2u) {
        sum_a = add_shuffled(sum_a, mask);
        sum_b = add_shuffled(sum_b, mask);
    }
    if (member < TEAM && group < MOST_SUBGROUPS) {
        store_sums(group, own, sum_a, sum_b);
        if (own == 0u) {
            tops[group] = top;
            totals[group] = total;
        }
    }
    workgroupBarrier();
    let n = min(WG_X / size, MOST_SUBGROUPS); // where no size is told it may be smaller: wrong then, but within bounds
    for (var j = lane; j < 4u * D4; j += WG_X) {
        let t = j / D4;
        var most = LOWEST;
        for (var g = 0u; g < n; g++) {
            most = max(most, tops[g][t]);
        }
        var sum = vec4<f32>();
        var all = 0.0;
        for (var g = 0u; g < n; g++) {
            let f = exp2(tops[g][t] - most);
            sum += f * sums[g * 4u * D4 + j];
            all += f * totals[g][t];
        }
        put(work, work.t0 + t, j % D4, sum, most, all);
    }
}

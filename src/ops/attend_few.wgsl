// attend_few.wgsl - fused attention for few queries: TILE_T = 4 at a time, so that a vec4 holds a number of each. D8
// invocations share a cache row, 8 elements each, and 4 rows at a time make a slice; every row is read once, whole lines
// by neighbours. Slices keep a maximum and sums of their own and meet at the end.

const SLICES: u32 = WG_X / D8;
const ROWS: u32 = 4u;
const STEP: u32 = SLICES * ROWS; // cache rows that a workgroup takes at a time

var<workgroup> parts: array<vec4<f32>, WG_X * ROWS>;  // [row of the step, part]: four scores
var<workgroup> scores: array<vec4<f32>, STEP>;

struct Query {
    a: array<vec4<f32>, 4>,
    b: array<vec4<f32>, 4>,
}

fn load_queries(work: Work, part: u32) -> Query {
    var x: Query;
    for (var i = 0u; i < 4u; i++) {
        let at = query_at(work.kv, min(work.t0 + i, p.n_t - 1u)) + 2u * part;
        x.a[i] = q[at] * p.scale;
        x.b[i] = q[at + 1u] * p.scale;
    }
    return x;
}

// The sums of a row's parts, begun at different ones for neighbours (memory banks); MASKED where a query does not see it.
fn add_parts(work: Work, c: u32, index: u32) {
    let sees = vec4<u32>(visible(work.t0), visible(work.t0 + 1u), visible(work.t0 + 2u), visible(work.t0 + 3u));
    for (var j = index; j < STEP; j += WG_X) {
        var sum = vec4<f32>();
        for (var k = 0u; k < D8; k++) {
            sum += parts[j * D8 + (k + j) % D8];
        }
        let row = c + j % ROWS * SLICES + j / ROWS;
        scores[j] = select(vec4<f32>(MASKED), sum, (vec4<u32>(row) < sees) & vec4<bool>(row < work.end));
    }
}

@compute @workgroup_size(WG_X)
fn attend_few(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
              @builtin(local_invocation_index) index: u32) {
    let work = work_at(workgroup, grid);
    if (!work.live) {
        return;
    }
    let part = index % D8;
    let slice = min(index / D8, SLICES - 1u); // invocations past the last slice repeat it and store nothing
    let stores = index < SLICES * D8;
    let e = work.kv * D8 + part;
    let query = load_queries(work, part);
    var top = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    var sum_a: array<vec4<f32>, 4>;
    var sum_b: array<vec4<f32>, 4>;
    for (var c = work.begin; c < work.end; c += STEP) {
        var v: array<Eight, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Past the end, the last row again: its score is masked there.
            let row = min(c + r * SLICES + slice, work.end - 1u) - p.c0;
            let k = k_eight(row, e);
            v[r] = v_eight(row, e);
            var s: vec4<f32>;
            s.x = dot(query.a[0], k.a) + dot(query.b[0], k.b);
            s.y = dot(query.a[1], k.a) + dot(query.b[1], k.b);
            s.z = dot(query.a[2], k.a) + dot(query.b[2], k.b);
            s.w = dot(query.a[3], k.a) + dot(query.b[3], k.b);
            if (stores) {
                parts[(slice * ROWS + r) * D8 + part] = s;
            }
        }
        workgroupBarrier();
        add_parts(work, c, index);
        workgroupBarrier();
        var most = top;
        for (var r = 0u; r < ROWS; r++) {
            most = max(most, scores[slice * ROWS + r]);
        }
        let old = exp2(top - most);
        top = most;
        total *= old;
        for (var i = 0u; i < 4u; i++) {
            sum_a[i] *= old[i];
            sum_b[i] *= old[i];
        }
        for (var r = 0u; r < ROWS; r++) {
            let w = exp2(scores[slice * ROWS + r] - most);
            total += w;
            for (var i = 0u; i < 4u; i++) {
                sum_a[i] = fma(vec4<f32>(w[i]), v[r].a, sum_a[i]);
                sum_b[i] = fma(vec4<f32>(w[i]), v[r].b, sum_b[i]);
            }
        }
    }
    // The slices' maxima and sums of weights, then two queries at a time their sums over V.
    workgroupBarrier();
    if (part == 0u && stores) {
        parts[slice] = top;
        parts[SLICES + slice] = total;
    }
    workgroupBarrier();
    var most = vec4<f32>(LOWEST);
    for (var s = 0u; s < SLICES; s++) {
        most = max(most, parts[s]);
    }
    var all = vec4<f32>();
    for (var s = 0u; s < SLICES; s++) {
        all += parts[SLICES + s] * exp2(parts[s] - most);
    }
    let factor = exp2(top - most);
    for (var i = 0u; i < 4u; i += 2u) {
        workgroupBarrier();
        for (var h = 0u; h < 2u && stores; h++) {
            let at = (h * SLICES + slice) * D4 + 2u * part;
            parts[at] = sum_a[i + h] * factor[i + h];
            parts[at + 1u] = sum_b[i + h] * factor[i + h];
        }
        workgroupBarrier();
        for (var j = index; j < 2u * D4; j += WG_X) {
            let h = j / D4;
            let d = j % D4;
            var sum = vec4<f32>();
            for (var s = 0u; s < SLICES; s++) {
                sum += parts[(h * SLICES + s) * D4 + d];
            }
            put(work, work.t0 + i + h, d, sum, most[i + h], all[i + h]);
        }
    }
}

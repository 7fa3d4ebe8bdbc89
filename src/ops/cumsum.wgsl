// cumsum.wgsl - y[i] = x[0] + .. + x[i] along every line. Each lane adds up a run of the line, then writes the sums from
// that of the runs before. Node: IS_INT (i32, else f32).
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

alias Part = u32;

fn combine(how: u32, a: Part, b: Part) -> Part {
    if (IS_INT != 0u) {
        return a + b;
    }
    return bitcast<u32>(bitcast<f32>(a) + bitcast<f32>(b));
}

@compute @workgroup_size(WG_X)
fn cumsum(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
          @builtin(local_invocation_index) local: u32) {
    let t = place_of(group, grid, local);
    let run = (p.items + LANES - 1u) / LANES;
    let first = min(t.lane * run, p.items);
    let end = min(first + run, p.items);
    var sum = 0u;
    for (var i = first; i < end; i++) {
        sum = combine(0u, sum, x[t.at + item_offset(i)]);
    }
    parts[t.first + t.lane] = sum;
    workgroupBarrier();
    if (!t.live) {
        return;
    }
    sum = 0u;
    for (var i = 0u; i < t.lane; i++) {
        sum = combine(0u, sum, parts[t.first + i]);
    }
    for (var i = first; i < end; i++) {
        let at = t.at + item_offset(i);
        sum = combine(0u, sum, x[at]);
        y[at] = sum;
    }
}

// choose_qparams.wgsl - scale and zero point of every line, for 8-bit codes -128..127 with an exact 0 (torchao's
// asymmetric mapping, to the bit). p.number: eps, the least scale.
@group(0) @binding(1) var<storage, read> x: array<Words>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> zero_points: array<i32>;

alias Part = vec2<f32>; // the least element and the largest one, both with 0

fn combine(how: u32, a: Part, b: Part) -> Part {
    return Part(min(a.x, b.x), max(a.y, b.y));
}

@compute @workgroup_size(WG_X)
fn choose_qparams(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                  @builtin(local_invocation_index) local: u32) {
    let t = place_of(group, grid, local);
    var least = Floats(0.0);
    var most = Floats(0.0);
    for (var i = t.lane; i < p.items; i += LANES) {
        let v = bitcast<Floats>(x[t.at + i]);
        least = min(least, v);
        most = max(most, v);
    }
    var part = Part(float_of(least, 0u), float_of(most, 0u));
    for (var k = 1u; k < ITEM; k++) {
        part = combine(0u, part, Part(float_of(least, k), float_of(most, k)));
    }
    let bounds = gather(0u, part, t);
    if (t.live && t.lane == 0u) {
        let scale = max(divide(bounds.y - bounds.x, 255.0), p.number);
        scales[t.line] = scale;
        zero_points[t.line] = clamp(-128 + i32(min(round(divide(-bounds.x, scale)), 255.0)), -128, 127);
    }
}

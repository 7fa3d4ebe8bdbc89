// grid_sampler.wgsl - y[N, C, Ho, Wo] = x[N, C, Hi, Wi] at the places grid[N, Ho, Wo, 2], bilinear: an invocation all
// channels of one place. Node: BORDER (else zeros outside), ALIGN.
struct Params {
    n: u32, // N * Ho * Wo
    channels: u32,
    in_h: i32,
    in_w: i32,
    places: u32, // Ho * Wo
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> places: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// The neighbours of a coordinate and their weights: 0 where the picture has none. The float is bounded before it becomes
// an integer; one step outside is enough to weigh nothing.
struct Between {
    low: i32,
    high: i32,
    weight: vec2<f32>,
}

fn between(coordinate: f32, size: i32) -> Between {
    var at = ((coordinate + 1.0) * f32(size) - 1.0) * 0.5;
    if (ALIGN == 1u) {
        at = (coordinate + 1.0) * 0.5 * f32(size - 1);
    }
    if (BORDER == 1u) {
        at = clamp(at, 0.0, f32(size - 1));
    } else {
        at = clamp(at, -1.0, f32(size));
    }
    let low = clamp(i32(floor(at)), -1, size);
    let part = at - f32(low);
    let inside = vec2<bool>(low >= 0 && low < size, low + 1 < size);
    return Between(clamp(low, 0, size - 1), clamp(low + 1, 0, size - 1),
                   select(vec2<f32>(0.0), vec2<f32>(1.0 - part, part), inside));
}

@compute @workgroup_size(WG_X)
fn grid_sampler(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let w = between(places[2u * i], p.in_w);
    let h = between(places[2u * i + 1u], p.in_h);
    let top = u32(h.low * p.in_w);
    let bottom = u32(h.high * p.in_w);
    let plane = u32(p.in_h * p.in_w);
    let image = i / p.places;
    var xi = image * p.channels * plane;
    var to = image * p.channels * p.places + (i - image * p.places);
    for (var c = 0u; c < p.channels; c++) {
        y[to] = h.weight.x * (w.weight.x * x[xi + top + u32(w.low)] + w.weight.y * x[xi + top + u32(w.high)]) +
                h.weight.y * (w.weight.x * x[xi + bottom + u32(w.low)] + w.weight.y * x[xi + bottom + u32(w.high)]);
        xi += plane;
        to += p.places;
    }
}

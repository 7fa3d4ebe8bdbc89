// upsample.wgsl - y[planes, Ho, Wo] of x[planes, Hi, Wi], one element an invocation. Node: MODE 0 nearest, 1 bilinear,
// 2 bilinear with aligned corners.
struct Params {
    n: u32, // elements of y
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    scale_h: f32, // rows of x for a row of y
    scale_w: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Between which two positions an output lies, and how far from the first.
struct Between {
    low: u32,
    high: u32,
    part: f32,
}

fn between(o: u32, size: u32, scale: f32) -> Between {
    var at = scale * f32(o);
    if (MODE == 0u) {
        let i = min(u32(floor(at)), size - 1u);
        return Between(i, i, 0.0);
    }
    if (MODE == 1u) {
        at = max(scale * (f32(o) + 0.5) - 0.5, 0.0);
    }
    let low = min(u32(at), size - 1u);
    return Between(low, min(low + 1u, size - 1u), clamp(at - f32(low), 0.0, 1.0));
}

@compute @workgroup_size(WG_X)
fn upsample(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let row = i / p.out_w;
    let plane = row / p.out_h;
    let h = between(row - plane * p.out_h, p.in_h, p.scale_h);
    let w = between(i - row * p.out_w, p.in_w, p.scale_w);
    let top = (plane * p.in_h + h.low) * p.in_w;
    if (MODE == 0u) {
        y[i] = x[top + w.low];
        return;
    }
    let bottom = (plane * p.in_h + h.high) * p.in_w;
    y[i] = (1.0 - h.part) * ((1.0 - w.part) * x[top + w.low] + w.part * x[top + w.high]) +
           h.part * ((1.0 - w.part) * x[bottom + w.low] + w.part * x[bottom + w.high]);
}

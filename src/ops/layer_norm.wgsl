// layer_norm.wgsl - y = (x - mean) / sqrt(variance + eps) * w + b over contiguous lines, with the variance from a pass of
// its own over the distances from the mean. p.number: eps. Node: HAS_W, HAS_B, GROUP. Without GROUP, w and b have an
// element for each of a line; with it (ITEM = 1) one for each channel: the line is group line % p.a of an image, and a
// channel has p.b of its elements.
@group(0) @binding(1) var<storage, read> x: array<Floats>;
@group(0) @binding(2) var<storage, read> w: array<Floats>;
@group(0) @binding(3) var<storage, read> b: array<Floats>;
@group(0) @binding(4) var<storage, read_write> y: array<Floats>;

alias Part = f32;

fn combine(how: u32, a: Part, b: Part) -> Part {
    return a + b;
}

// The sum over the line of x, or of the squares of x - mean: of 64 at a time, as in reduce.wgsl.
fn line_sum(t: Place, squares: bool, mean: f32) -> f32 {
    var total = Floats(0.0);
    var some = Floats(0.0);
    var n = 0u;
    for (var i = t.lane; i < p.items; i += LANES) {
        let v = x[t.at + i] - mean;
        some += select(v, v * v, squares);
        n++;
        if (n == 64u) {
            total += some;
            some = Floats(0.0);
            n = 0u;
        }
    }
    total += some;
    var part = float_of(total, 0u);
    for (var k = 1u; k < ITEM; k++) {
        part += float_of(total, k);
    }
    return gather(0u, part, t);
}

@compute @workgroup_size(WG_X)
fn layer_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
              @builtin(local_invocation_index) local: u32) {
    let t = place_of(group, grid, local);
    let mean = line_sum(t, false, 0.0) / f32(p.elements);
    let scale = inverseSqrt(line_sum(t, true, mean) / f32(p.elements) + p.number);
    if (!t.live) {
        return;
    }
    var channel = 0u;
    if (GROUP != 0u) {
        channel = t.line % p.a * (p.elements / p.b);
    }
    for (var i = t.lane; i < p.items; i += LANES) {
        var affine = i;
        if (GROUP != 0u) {
            affine = channel + i / p.b;
        }
        var v = (x[t.at + i] - mean) * scale;
        if (HAS_W != 0u) {
            v *= w[affine];
        }
        if (HAS_B != 0u) {
            v += b[affine];
        }
        y[t.at + i] = v;
    }
}

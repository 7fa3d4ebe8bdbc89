// softmax.wgsl - y = exp(x - m) / sum(exp(x - m)), or with LOG y = x - m - log(sum(exp(x - m))), over a line with the
// largest element m. Node: LOG.
@group(0) @binding(1) var<storage, read> x: array<Words>;
@group(0) @binding(2) var<storage, read_write> y: array<Floats>;

alias Part = f32;

const MOST: u32 = 0u;
const SUM: u32 = 1u;

fn combine(how: u32, a: Part, b: Part) -> Part {
    if (how == MOST) {
        return max(a, b);
    }
    return a + b;
}

// 0 also where the exponent is -infinity, of which WGSL promises nothing.
fn exponential(v: Floats) -> Floats {
    return select(exp(v), Floats(0.0), v < Floats(-104.0));
}

fn element(t: Place, i: u32) -> Floats {
    return bitcast<Floats>(x[t.at + item_offset(i)]);
}

// From the line's own first element, so that no neutral one is needed.
fn line_max(t: Place) -> f32 {
    var most = element(t, 0u);
    for (var i = t.lane; i < p.items; i += LANES) {
        most = max(most, element(t, i));
    }
    var part = float_of(most, 0u);
    for (var k = 1u; k < ITEM; k++) {
        part = max(part, float_of(most, k));
    }
    return gather(MOST, part, t);
}

// Sums of 64 at a time, as in reduce.wgsl.
fn line_sum(t: Place, most: f32) -> f32 {
    var total = Floats(0.0);
    var some = Floats(0.0);
    var n = 0u;
    for (var i = t.lane; i < p.items; i += LANES) {
        some += exponential(element(t, i) - most);
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
    return gather(SUM, part, t);
}

@compute @workgroup_size(WG_X)
fn softmax(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_index) local: u32) {
    let t = place_of(group, grid, local);
    let most = line_max(t);
    let sum = line_sum(t, most);
    if (!t.live) {
        return;
    }
    for (var i = t.lane; i < p.items; i += LANES) {
        let at = t.at + item_offset(i);
        let v = bitcast<Floats>(x[at]) - most;
        if (LOG != 0u) {
            y[at] = v - log(sum);
        } else {
            y[at] = exponential(v) / sum;
        }
    }
}

// q8.wgsl - element by element on 8-bit codes: y = FUNCTION(a, b) (enum function of q8.c). With quantize.wgsl. Words are
// codes or f32, as the function says.
struct Params {
    output: Quant,
    n: u32,
    alpha: f32,
    a_scale: f32,
    a_zero: i32,
    b_scale: f32,
    b_zero: i32,
    factor: u32, // of a pixel shuffle; of its input:
    height: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn number_a(i: u32) -> f32 {
    return f32(bitcast<i32>(a[i]) - p.a_zero) * p.a_scale;
}

fn number_b(i: u32) -> f32 {
    return f32(bitcast<i32>(b[i]) - p.b_zero) * p.b_scale;
}

fn code(v: f32) -> u32 {
    return bitcast<u32>(quantize(v, p.output));
}

// Which element of x[..., C * r * r, H, W] is element i of y[..., C, H * r, W * r].
fn shuffled(i: u32) -> u32 {
    let r = p.factor;
    let row = i / (p.width * r);
    let column = i - row * p.width * r;
    let plane = row / (p.height * r);
    let h = row - plane * p.height * r;
    let channel = plane * r * r + h % r * r + column % r;
    return (channel * p.height + h / r) * p.width + column / r;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    switch FUNCTION {
        case 0u: {
            y[i] = code(bitcast<f32>(a[i]));
        }
        case 1u: {
            y[i] = bitcast<u32>(number_a(i));
        }
        case 2u: {
            y[i] = code(number_a(i) + p.alpha * number_b(i));
        }
        case 3u: {
            y[i] = code(max(number_a(i), 0.0));
        }
        default: {
            y[i] = code(number_a(shuffled(i)));
        }
    }
}
